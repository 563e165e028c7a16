"""What identifies a store: its tables and facts, and how its depth is packed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from handbench.store.layout import DEPTH


def fingerprint(store: Path) -> str:
    """SHA-256 of the metadata and tables of a store, and of the names and sizes of its files of depth.

    Depth itself is not read: packed, other depth has another size, but for the rarest chance.

    Args:
        store: path of a store that is whole.
    """
    digest = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(store)
        is_depth = name.parts[1:3] == (DEPTH, "c")
        content = str(path.stat().st_size) if is_depth else hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name.as_posix()} {content}\n".encode())
    return digest.hexdigest()
