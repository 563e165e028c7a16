"""Fixtures that every test module may use."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("handbench", deadline=None)  # a busy machine is no fault of an example
if settings.get_current_profile_name() != "ci":  # hypothesis chooses that one itself, with fixed seeds
    settings.load_profile("handbench")

_REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    if not _REAL.is_dir():
        pytest.skip("the pack of real data is not here")
    return _REAL
