"""The header of a table: which column is the frame, and which joint and axis each other column holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from handbench.errors import HandbenchError

KEY_NAMES = ("frame_key", "frame", "key", "name", "image", "image_name", "filename", "file", "file_name", "path", "id")
_INDEX_NAMES = ("", "index", "unnamed: 0", "__index_level_0__")  # what pandas calls a row number
_AXIS_LAST = re.compile(r"(.+?)[ _.:\-]?\(?([uvdxyz])\)?", re.IGNORECASE)  # Palm_u, palm.X, 0_x, joint0x, Palm (x)
_AXIS_FIRST = re.compile(r"([uvdxyz])[ _.:\-\[]?(\d+)\]?", re.IGNORECASE)  # u0, x_13, z[3]


@dataclass(frozen=True)
class Columns:
    """Where things are in a row.

    Attributes:
        key: index of the column that names the frame; None if there is none.
        number: index of a column of row numbers; None if there is none.
        numbers: indices of the 3 J columns of numbers, joint by joint, axis by axis.
        space: "uvd" or "xyz" by the names of the axes; "" if they say nothing.
        joints: names of the joints, or empty.
    """

    key: int | None
    number: int | None
    numbers: tuple[int, ...]
    space: str
    joints: tuple[str, ...]


def is_header(words: Sequence[str]) -> bool:
    """Whether a line names columns: it holds words alone, or 0, 1, 2, ... as pandas numbers columns."""
    if [word for word in words if word] == [str(i) for i in range(len(words) - (not words[0]))]:
        return len(words) > 3
    return len(words) > 3 and not any(_is_number(word) for word in words)


def read_columns(words: Sequence[str], where: str) -> Columns:
    """The meaning of a header.

    Args:
        words: the names of all columns.
        where: name of the file for messages.

    Raises:
        HandbenchError: if the columns are not three axes of each joint, as `Palm_u, Palm_v, Palm_d` or `x0, y0, z0`.
    """
    lower = [word.strip().lower() for word in words]
    key = next((i for i, word in enumerate(lower) if word in KEY_NAMES), None)
    number = next((i for i, word in enumerate(lower) if word in _INDEX_NAMES and i != key), None)
    rest = [i for i in range(len(words)) if i not in (key, number)]
    if len(rest) % 3 or not rest:
        raise HandbenchError(
            f"{where} has {len(rest)} columns of numbers, not three a joint; beside them there may be one of names, "
            f"called {KEY_NAMES[0]} or {KEY_NAMES[4]}"
        )
    if [lower[i] for i in rest] == [str(i) for i in range(len(rest))]:
        return Columns(key, number, tuple(rest), "", ())
    places: dict[str, dict[str, int]] = {}
    for i in rest:
        joint, axis = _joint_and_axis(words[i].strip(), where)
        if axis in places.setdefault(joint, {}):
            raise HandbenchError(f"{where}: the column {words[i]!r} comes twice")
        places[joint][axis] = i
    space = "uvd" if all(set(axes) == set("uvd") for axes in places.values()) else "xyz"
    wrong = next((joint for joint, axes in places.items() if set(axes) != set(space)), None)
    if wrong is not None:
        found = ", ".join(words[i] for i in places[wrong].values())
        raise HandbenchError(f"{where}: joint {wrong!r} has the columns {found}; it needs u, v, d or x, y, z")
    numbers = tuple(axes[axis] for axes in places.values() for axis in space)
    return Columns(key, number, numbers, space, tuple(places))


def _joint_and_axis(word: str, where: str) -> tuple[str, str]:
    first = _AXIS_FIRST.fullmatch(word)
    if first:
        return first[2], first[1].lower()
    last = _AXIS_LAST.fullmatch(word)
    if last:
        return last[1], last[2].lower()
    raise HandbenchError(
        f"{where}: the column {word!r} is neither a name of frames ({', '.join(KEY_NAMES[:3])}, ...) nor an axis of a "
        "joint, as Palm_u, palm.x or x0"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
