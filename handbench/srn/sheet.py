"""A sheet of crops with the true and the predicted skeleton, to watch a training by eye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.preprocess import HandBox

COLUMNS, MOST = 4, 8
TRUE, PREDICTED = (0, 190, 255), (255, 90, 0)
"""Colours, RGB: light blue and orange, apart from each other for colour-blind readers too."""

_SIDE = 192  # px of a picture, at least
_CAPTION = 16  # px
_BITS = 4  # fractions of a pixel that OpenCV draws lines at


@dataclass(frozen=True)
class Watched:
    """Some frames that are looked at after every epoch.

    Attributes:
        depth: (n, S, S) upright crops in [-1, 1], background +1.
        box: a batch of n, of those crops.
        true_xyz: (n, P, 3) mm, camera frame; NaN = not labelled.
        edges: pairs of points that a bone joins.
        names: (n,) of the frames.
    """

    depth: npt.NDArray[np.float32]
    box: HandBox[npt.NDArray[Any]]
    true_xyz: npt.NDArray[Any]
    edges: tuple[tuple[int, int], ...]
    names: tuple[str, ...]


def draw_sheet(watched: Watched, pred_xyz: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The crops in rows of four: near is bright; the truth in light blue, the prediction in orange over it.

    Args:
        watched: the frames.
        pred_xyz: (n, P, 3) mm, camera frame.

    Returns:
        (height, width, 3) RGB.
    """
    size = watched.depth.shape[-1]
    zoom = max(1, -(-_SIDE // size))
    true, pred = (_pixels(watched.box, xyz, size, zoom) for xyz in (watched.true_xyz, pred_xyz))
    pictures = []
    for depth, name, true_uv, pred_uv in zip(watched.depth, watched.names, true, pred, strict=True):
        picture = _grey(depth, zoom)
        _skeleton(picture, true_uv, watched.edges, TRUE)
        _skeleton(picture, pred_uv, watched.edges, PREDICTED)
        pictures.append(_captioned(picture, name))
    blank = [np.full_like(pictures[0], 255)] * (-len(pictures) % min(COLUMNS, len(pictures)))
    cells = [*pictures, *blank]
    across = min(COLUMNS, len(pictures))
    rows = [np.hstack(cells[start : start + across]) for start in range(0, len(cells), across)]
    return np.vstack((*rows, _legend(rows[0].shape[1])))


def _pixels(box: HandBox[npt.NDArray[Any]], xyz: npt.NDArray[Any], size: int, zoom: int) -> npt.NDArray[np.float64]:
    """(n, P, 2) column and row in the enlarged pictures."""
    uv = box.bb_to_si_norm(box.xyz_to_bb(xyz))[..., :2] * (size / 2) + (size - 1) / 2
    pixels: npt.NDArray[np.float64] = (uv + 0.5) * zoom - 0.5
    return pixels


def _grey(depth: npt.NDArray[np.float32], zoom: int) -> npt.NDArray[np.uint8]:
    """(side, side, 3): near is bright, far darker, background black."""
    grey = np.where(depth < 1, 150 - 90 * np.clip(depth, -1, 1), 0).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(np.kron(grey, np.ones((zoom, zoom), np.uint8))[..., None], 3, axis=-1))


def _skeleton(
    picture: npt.NDArray[np.uint8],
    uv: npt.NDArray[np.float64],
    edges: tuple[tuple[int, int], ...],
    colour: tuple[int, int, int],
) -> None:
    """Bones and joints; those without a number, or far outside the picture, are left out."""
    side = len(picture)
    inside = np.asarray((np.abs(np.nan_to_num(uv, nan=np.inf)) < 4 * side).all(axis=-1))
    at = np.where(inside[:, None], uv * 2**_BITS, 0).round().astype(int).tolist()
    for start, end in edges:
        if inside[start] and inside[end]:
            cv2.line(picture, at[start], at[end], colour, 1, cv2.LINE_AA, _BITS)
    for joint in np.flatnonzero(inside).tolist():
        cv2.circle(picture, at[joint], max(2, side // 96) << _BITS, colour, cv2.FILLED, cv2.LINE_AA, _BITS)


def _strip(width: int, words: dict[str, tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    """A white line of text, each word in its colour."""
    strip, left = np.full((_CAPTION, width, 3), 255, np.uint8), 4
    for word, colour in words.items():
        cv2.putText(strip, word, (left, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
        left += cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0] + 12
    return strip


def _legend(width: int) -> npt.NDArray[np.uint8]:
    return _strip(width, {"true": TRUE, "predicted": PREDICTED})


def _captioned(picture: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.uint8]:
    strip = _strip(picture.shape[1], {name: (0, 0, 0)})
    bordered = np.vstack((strip, picture))
    bordered[:, -1] = 255
    return bordered
