"""One writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from handbench.errors import HandbenchError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a store, there or to be made; it falls when the process ends, however it ends.

    Raises:
        HandbenchError: if another process holds it, or the folder cannot be written.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise HandbenchError(f"another process is writing {path}; wait for it, or name another output") from error
    except OSError as error:
        raise HandbenchError(f"{path.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
