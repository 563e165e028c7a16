"""Damage to raw files: bytes flipped, cut off, put in."""

from __future__ import annotations

from hypothesis import strategies as st

Damage = list[tuple[str, float, int]]

damages = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert"]), st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)
"""What to do, at which share of the length, with which byte or bit."""


def damaged(data: bytes, damage: Damage) -> bytes:
    """The bytes after the damage."""
    for kind, place, byte in damage:
        at = int(place * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + bytes([byte]) * (1 + byte % 7) + data[at:]
        elif data:
            data = data[:at] + bytes([data[at] ^ (1 << byte % 8)]) + data[at + 1 :]
    return data
