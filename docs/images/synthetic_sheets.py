"""Draws synthetic_<data set>.png beside this file: 64 frames as the sensor sees them, with the scored joints."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.synth.config import NAMES, SynthConfig
from handbench.synth.frames import SyntheticFrames

SIDE, TILE_PX = 8, 92
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


def tile(frames: SyntheticFrames, split: str, row: int, joints_xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """One frame around its hand: near is light, black is no depth; the skeleton in one colour a finger."""
    joints, camera = frames.spec.joints, frames.spec.camera
    uvd = xyz_to_uvd(joints_xyz[list(joints.scored)], camera)
    u, v, z = uvd.mean(axis=0)
    scale = TILE_PX * z / (2 * HALF_MM[frames.spec.name] * camera.fx)
    to_tile = np.array([[scale, 0, TILE_PX / 2 - scale * u], [0, scale, TILE_PX / 2 - scale * v]])
    depth = cv2.warpAffine(frames.depth(split, row), to_tile, (TILE_PX, TILE_PX), flags=cv2.INTER_NEAREST)
    grey = np.interp(depth, (z - NEARER_MM, z + FARTHER_MM), (255, 40)) // 4 * 4 * (depth > 0)
    image = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    points = np.rint((uvd[:, :2] * scale + to_tile[:, 2]) * 16).astype(int)  # cv2 takes 1/16 px
    for child, parent in joints.scored_edges:
        colour = COLOURS[joints.scored_fingers[child]]
        cv2.line(image, points[child].tolist(), points[parent].tolist(), colour, 1, cv2.LINE_AA, 4)
    image[-1], image[:, -1] = 90, 90
    return image


def main() -> None:
    """Draw the sheets."""
    for name in NAMES:
        frames = SyntheticFrames(SynthConfig(name, 153 if name == "msra" else 64, key_frames=1))
        split = frames.splits[0]
        joints_xyz = frames.joints_xyz(split).astype(np.float64)
        rows = np.linspace(0, len(joints_xyz) - 1, SIDE * SIDE).astype(int).tolist()
        tiles = [tile(frames, split, row, joints_xyz[row]) for row in rows]
        sheet = np.vstack([np.hstack(tiles[at : at + SIDE]) for at in range(0, len(tiles), SIDE)])
        cv2.imwrite(str(Path(__file__).with_name(f"synthetic_{name}.png")), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
