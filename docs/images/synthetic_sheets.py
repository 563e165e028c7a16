"""Draws synthetic_<data set>.png beside this file: 64 frames as the sensor sees them, with the scored joints.

    python docs/images/synthetic_sheets.py [--real FOLDER --out FOLDER]

With --real, a real frame stands on the left of the sheets of NYU and HANDS17, drawn by the same code, four times as
large.
FOLDER holds nyu_one_frame/test/ and hands17/image_D00000030.png. Real frames may not be passed on: keep those sheets.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.converters.nyu import NyuReader
from handbench.datasets import DatasetSpec, dataset
from handbench.preprocess.center import com_iterated_xyz
from handbench.synth.config import NAMES, SynthConfig
from handbench.synth.frames import SyntheticFrames

SIDE, TILE_PX, LARGER = 8, 92, 4
HALF_MM = {"nyu": 140.0, "icvl": 95.0, "msra": 108.0, "hands17": 130.0}  # of what a tile shows
NEARER_MM, FARTHER_MM = 150.0, 500.0  # than the hand: white and nearly black
COLOURS = {  # blue, green, red
    "thumb": (230, 140, 40),
    "index": (40, 150, 250),
    "middle": (60, 60, 230),
    "ring": (170, 170, 30),
    "pinky": (210, 80, 170),
    "palm": (90, 200, 90),
}


def tile(
    depth: npt.NDArray[np.uint16], spec: DatasetSpec, joints_xyz: npt.NDArray[np.float64], larger: int = 1
) -> npt.NDArray[np.uint8]:
    """One frame around its hand: near is light, black is no depth; the skeleton in one colour a finger.

    Args:
        depth: (H, W) mm.
        spec: of the data set.
        joints_xyz: (J, 3) mm, camera frame, the scored joints; or (1, 3), the centre alone.
        larger: so many times TILE_PX.
    """
    uvd, side = xyz_to_uvd(joints_xyz, spec.camera), larger * TILE_PX
    u, v, z = uvd.mean(axis=0)
    scale = side * z / (2 * HALF_MM[spec.name] * spec.camera.fx)
    to_tile = np.array([[scale, 0, side / 2 - scale * u], [0, scale, side / 2 - scale * v]])
    cut = cv2.warpAffine(depth, to_tile, (side, side), flags=cv2.INTER_NEAREST)
    grey = np.interp(cut, (z - NEARER_MM, z + FARTHER_MM), (255, 40)) // 4 * 4 * (cut > 0)
    image = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    points = np.rint((uvd[:, :2] * scale + to_tile[:, 2]) * 16).astype(int)  # cv2 takes 1/16 px
    for child, parent in spec.joints.scored_edges if len(points) > 1 else ():
        colour = COLOURS[spec.joints.scored_fingers[child]]
        cv2.line(image, points[child].tolist(), points[parent].tolist(), colour, larger, cv2.LINE_AA, 4)
    image[-1], image[:, -1] = 90, 90
    return image


def sheet(name: str) -> npt.NDArray[np.uint8]:
    """64 synthetic frames of a data set."""
    frames = SyntheticFrames(SynthConfig(name, 153 if name == "msra" else 64, key_frames=1))
    split, scored = frames.splits[0], list(frames.spec.joints.scored)
    joints_xyz = frames.joints_xyz(split).astype(np.float64)[:, scored]
    rows = np.linspace(0, len(joints_xyz) - 1, SIDE * SIDE).astype(int).tolist()
    tiles = [tile(frames.depth(split, row), frames.spec, joints_xyz[row]) for row in rows]
    return np.vstack([np.hstack(tiles[at : at + SIDE]) for at in range(0, len(tiles), SIDE)])


def real_frame(name: str, folder: Path) -> npt.NDArray[np.uint8] | None:
    """The real frame that the folder has of a data set, drawn; None if there is none."""
    spec = dataset(name)
    if name == "nyu":
        reader = NyuReader(folder / "nyu_one_frame")
        table = reader.table("test")
        joints_xyz = table.joints_xyz[0, list(spec.joints.scored)].astype(np.float64)
        return tile(reader.depth(str(table.image[0])), spec, joints_xyz, LARGER)
    if name == "hands17":  # without a label: about its centre of mass
        depth = cv2.imread(str(folder / "hands17/image_D00000030.png"), cv2.IMREAD_UNCHANGED)
        center_xyz = com_iterated_xyz(depth, spec.camera, *spec.depth_range_mm, np.full(3, spec.cube_of("")))
        return tile(depth, spec, center_xyz[None], LARGER)
    return None


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    if options.real and options.out == Path(__file__).parent:
        parser.error("--real needs --out: real frames do not go into the docs")
    for name in NAMES:
        image = sheet(name)
        real = real_frame(name, options.real) if options.real else None
        if real is not None:
            beside = np.full((len(image), real.shape[1], 3), 90, dtype=np.uint8)
            beside[: len(real)] = real
            image = np.hstack((beside, image))
        cv2.imwrite(str(options.out / f"synthetic_{name}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
