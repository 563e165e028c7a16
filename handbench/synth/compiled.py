"""numba, or one line that says how to get it.

Loops compiled with `njit` keep their machine code on disk after the first call.
"""

from __future__ import annotations

from handbench.errors import HandbenchError

try:
    from numba import njit
except ImportError as error:  # the extra `synth`
    raise HandbenchError('synthetic hands need numba; pip install "handbench[synth]"') from error

__all__ = ["njit"]
