"""Fixtures that every test module may use."""

from pathlib import Path

import pytest

_REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    if not _REAL.is_dir():
        pytest.skip("the pack of real data is not here")
    return _REAL
