"""Hand centres of a store: computing, importing what circulates, refusing what does not fit, replacing safely."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr.storage._local
from click.testing import CliRunner
from filelock import FileLock
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.converters.center_files import SPACES, find_shift, follows, read_center_file
from handbench.converters.centers import ComputeConfig, compute_centers, import_centers
from handbench.converters.centers_command import _SPACES, centers
from handbench.converters.nyu import NyuReader
from handbench.datasets import DatasetSpec, dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.center import com_iterated_xyz, com_xyz, in_image, mean_joint_xyz
from handbench.store import FrameStatus, Store, StoreWriter
from handbench.store.edit import NewCenters, replace_centers
from handbench.store.writer import SHARD_FRAMES, write_depth
from tests.tiny_store import CAMERA, write_tiny_store

NYU = dataset("nyu")
MSRA = dataset("msra")


# ------------------------------------------------------------------------------------------- what the tests write


def walk(frames: int, seed: int = 0) -> np.ndarray:
    """(N, 3) mm: a hand that wanders before the camera, up to some 100 mm from the optical axis."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 3, (frames, 3))
    path = np.empty((frames, 3))
    at = np.zeros(3)
    for i, step in enumerate(steps):
        at = 0.99 * at + step
        path[i] = at
    return path * [2, 2, 1] + [60, 45, 700]


def write_store(
    path: Path,
    mean: np.ndarray,
    spec: DatasetSpec = NYU,
    labelled: bool = True,
    depth: np.ndarray | None = None,
    camera: Camera | None = None,
    release: str = "",
    walls: bool = False,
    **columns: np.ndarray,
) -> Path:
    """A store of one split whose true joints have that mean; by default without images, or each before a wall."""
    frames, joints = len(mean), len(spec.joints)
    camera = camera or spec.camera
    shape = np.random.default_rng(9).uniform(-50, 50, (joints, 3))
    shape -= shape[list(spec.joints.scored)].mean(axis=0)
    split = spec.splits[-1].name
    writer = StoreWriter(path, spec, camera, release, {"converter": spec.name, "options": {}, "raw": {}})
    writer.create_split(split, frames, (camera.height, camera.width))
    if depth is not None:
        writer.write_depth(split, depth)
    for start in range(0, frames if walls else 0, SHARD_FRAMES):
        some = mean[start : start + SHARD_FRAMES, 2]
        write_depth(path, split, start, (np.full((camera.height, camera.width), z, np.uint16) for z in some))
    text = np.array([""] * frames)
    table = {
        "frame_key": np.array([f"{split}/1/{row + 1:07d}" for row in range(frames)]),
        "subject": text,
        "sequence": text,
        "view": np.ones(frames, np.uint8),
        "joints_xyz": mean[:, None] + shape if labelled else np.full((frames, joints, 3), np.nan),
        "center_xyz": np.full((frames, 3), np.nan),
        "cube": np.full((frames, 3), 250.0),
        "status": np.full(frames, FrameStatus.OUTSIDE_IMAGE, np.uint8),
    }
    old = {"center_method": "com", "near_mm": 300.0, "far_mm": 1200.0}
    writer.write_columns(split, {**table, **columns}, {"center_xyz": old})
    writer.finish()
    return path


def write_centers(path: Path, values: np.ndarray) -> Path:
    np.savetxt(path, values, fmt="%.6f")
    return path


@pytest.fixture
def hand() -> np.ndarray:
    return walk(600)


@pytest.fixture
def store(tmp_path: Path, hand: np.ndarray) -> Path:
    return write_store(tmp_path / "s.zarr", hand)


@pytest.fixture(scope="session")
def nyu_labels(real: Path) -> np.ndarray:
    """(8252, 14, 3) mm: the true labels of the NYU test set."""
    uvd = np.loadtxt(real / "nyu" / "groundtruth.txt").reshape(-1, 14, 3)
    return uvd_to_xyz(uvd, NYU.camera)


@pytest.fixture(scope="session")
def nyu_store(tmp_path_factory: pytest.TempPathFactory, nyu_labels: np.ndarray) -> Path:
    """All labels of the NYU test set, and no images."""
    frames = len(nyu_labels)
    joints = np.full((frames, 36, 3), np.nan)
    joints[:, list(NYU.joints.scored)] = nyu_labels
    second = np.arange(frames) >= 2440
    return write_store(
        tmp_path_factory.mktemp("nyu") / "nyu.zarr",
        nyu_labels.mean(axis=1),
        joints_xyz=joints,
        subject=np.where(second, "2", "1"),
        cube=np.where(second, 250 * 5 / 6, 250.0)[:, None].repeat(3, axis=1),
    )


# ------------------------------------------------------------------------------- the centre of mass in a cube

SMALL = Camera(100.0, 100.0, 40.0, 30.0, 80, 60)


def scene() -> np.ndarray:
    """A hand of 9 x 9 px at 500 mm, 300 mm before a body of 60 x 40 px."""
    depth = np.zeros((60, 80), np.uint16)
    depth[15:55, 10:70] = 800
    depth[20:29, 20:29] = 500  # middle: column 24, row 24
    return depth


def test_the_cube_rests_on_the_nearest_thing_and_not_on_the_body() -> None:
    # (24 - 40) * 500 / 100 = -80, (24 - 30) * 500 / 100 = -30
    assert_allclose(com_iterated_xyz(scene(), SMALL, 100, 1000, (200, 200, 200)), [-80, -30, 500])
    assert np.linalg.norm(com_xyz(scene(), SMALL, 100, 1000) - [-80, -30, 500]) > 250


def test_specks_of_noise_are_not_the_nearest_surface() -> None:
    depth = scene()
    depth[50, 60:64] = 150  # at 150 mm 20 x 20 mm are 177 px
    assert_allclose(com_iterated_xyz(depth, SMALL, 100, 1000, (200, 200, 200)), [-80, -30, 500])


def test_the_cube_follows_a_long_arm_to_where_most_of_it_is() -> None:
    depth = np.zeros((60, 80), np.uint16)
    depth[28:32, 5:75] = 500  # 70 x 4 px at 500 mm: 350 x 20 mm
    depth[28:32, 5:15] = 495
    depth[20:40, 55:75] = 500  # the end of it is wide: columns 55 to 74
    x, y, z = com_iterated_xyz(depth, SMALL, 100, 1000, (150, 150, 150))
    assert abs(x - (64.5 - 40) * 5) < 20
    assert (abs(y) < 5, z) == (True, 500)


def test_thresholds_hold_and_nothing_is_nan() -> None:
    assert_allclose(com_iterated_xyz(scene(), SMALL, 600, 1000, (200, 200, 200))[2], 800)
    assert np.isnan(com_iterated_xyz(scene(), SMALL, 900, 1000, (200, 200, 200))).all()
    assert np.isnan(com_iterated_xyz(np.zeros((60, 80), np.uint16), SMALL, 100, 1000, (200, 200, 200))).all()
    with pytest.raises(HandbenchError, match="every side must be positive"):
        com_iterated_xyz(scene(), SMALL, 100, 1000, (200, 0, 200))


def naive_com_in_cube(depth: np.ndarray, camera: Camera, near: float, far: float, center: Any, half: Any) -> Any:
    v, u = np.indices(depth.shape)
    uvd = np.stack((u, v, depth.astype(float)), axis=-1).reshape(-1, 3)
    uvd = uvd[(uvd[:, 2] >= near) & (uvd[:, 2] <= far)]
    inside = (np.abs(uvd_to_xyz(uvd, camera) - center) <= half + 1e-9).all(axis=1)
    return uvd_to_xyz(uvd[inside].mean(axis=0), camera)


@pytest.mark.parametrize("seed", range(20))
def test_it_rests_where_its_naive_twin_does_not_move_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = np.zeros((60, 80), np.uint16)
    for _ in range(6):
        top, left = rng.integers(0, 50), rng.integers(0, 70)
        depth[top : top + rng.integers(3, 25), left : left + rng.integers(3, 25)] = rng.integers(300, 700)
    cube = rng.uniform(100, 300, 3)
    rest = com_iterated_xyz(depth, SMALL, 200, 650, cube)
    assert np.linalg.norm(naive_com_in_cube(depth, SMALL, 200, 650, rest, cube / 2) - rest) < 5  # one last step
    again = naive_com_in_cube(depth, SMALL, 200, 650, rest, cube / 2)
    assert np.linalg.norm(naive_com_in_cube(depth, SMALL, 200, 650, again, cube / 2) - again) < 0.5


def test_the_real_frame_with_a_body_behind_the_hand(real: Path) -> None:
    reader = NyuReader(real / "nyu_one_frame")
    table = reader.table("test")
    depth = reader.depth(str(table.image[0]))
    truth = mean_joint_xyz(table.joints_xyz[0])
    near, far = NYU.depth_range_mm
    by_thresholds = np.linalg.norm(com_xyz(depth, NYU.camera, near, far) - truth)
    iterated = np.linalg.norm(com_iterated_xyz(depth, NYU.camera, near, far, (250, 250, 250)) - truth)
    assert by_thresholds > 250  # on the chest: measured 281 mm
    assert iterated < 40  # in the palm: measured 36 mm


def test_a_centre_lies_in_the_image_or_not() -> None:
    points = np.array([[0, 0, 500], [-200, -150, 500], [-203, 0, 500], [195, 0, 500], [200, 0, 500], [0, 0, -500]])
    assert in_image(points, SMALL).tolist() == [True, True, False, True, False, False]
    assert not in_image(np.full((2, 3), np.nan), SMALL).any()
    assert not in_image(np.zeros(3), SMALL)


# ------------------------------------------------------------------------------------------------ reading files


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (b"\x89PNG\0\0", "is a binary file"),
        (b"1 2 3\n4 five 6\n", "line 2: 'five' is not a number"),
        (b"1 2 3\n4 5 6\n7 8\n", "line 3: 2 words, there must be 3"),
        (b"1 2 3 4\n", "line 1: 4 words, there must be 3"),
        (b"1 2 3\nnan nan nan\n", "line 2: 'nan nan nan' is no centre; a frame without one says `invalid`"),
        (b"invalid\n1 2 inf\n", "line 2: '1 2 inf' is no centre"),
        (b"1 2 1e999\n", "line 1: '1 2 1e999' is no centre"),
        (b"invalid\ninvalid\n", "all 2 lines say `invalid`"),
        (b"invalid 1 2\n", "line 1: 'invalid' is not a number"),
        (b"1 2 3\ninvalide\n", "line 2: 1 words"),
    ],
)
def test_what_is_no_centre_file_is_refused_by_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "c.txt").write_bytes(data)
    with pytest.raises(HandbenchError, match=r"c\.txt") as refused:
        read_center_file(tmp_path / "c.txt")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match=r"cannot read .*c\.txt: No such file"):
        read_center_file(tmp_path / "c.txt")


@pytest.mark.parametrize(
    "data",
    [
        b"1 2.5 -3\ninvalid\n4 5 6\n",
        b"1 2.5 -3 \r\ninvalid \r\n4 5 6",
        b"\xef\xbb\xbf1\t2.5 -3  \n\n  Invalid\t\n4.0 5e0 +6\n\n",
    ],
)
def test_blanks_and_line_ends_do_not_count(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "c.txt").write_bytes(data)
    values, kept = read_center_file(tmp_path / "c.txt")
    assert_array_equal(values, [[1, 2.5, -3], [np.nan] * 3, [4, 5, 6]])
    assert kept == data


# ------------------------------------------------------------------------------------- telling what a file is


def in_space(xyz: np.ndarray, space: str, camera: Camera) -> np.ndarray:
    signs = {"xyz-y-down": [1, 1, 1], "xyz-y-up": [1, -1, 1], "xyz-y-up-z-back": [1, -1, -1]}
    return xyz_to_uvd(xyz, camera) if space == "uvd" else xyz * np.array(signs[space])


@pytest.mark.parametrize("space", ["uvd", "xyz-y-down", "xyz-y-up", "xyz-y-up-z-back"])
@pytest.mark.parametrize("asked", ["auto", "family", "exact"])
def test_space_and_axes_are_told_by_what_fits(
    tmp_path: Path, store: Path, hand: np.ndarray, space: str, asked: str
) -> None:
    found = hand + np.random.default_rng(5).normal(0, 10, hand.shape)
    file = write_centers(tmp_path / "c.txt", in_space(found, space, NYU.camera))
    word = {"auto": "auto", "family": space[:3], "exact": space}[asked]
    change = import_centers(store, [file], space=word)
    split = Store(store)["test"]
    assert_allclose(split.center_xyz, found, atol=1e-3)
    assert (change.read_as, change.invalid, change.frames) == (space, 0, 600)
    assert split.center_method == f"refined:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert (split.status == FrameStatus.BOX_EMPTY).all()  # for the store has no images


def test_what_could_be_two_things_is_refused_until_it_is_said(tmp_path: Path) -> None:
    hand = walk(300) * [1, 0, 1]  # on the optical axis y up and y down are the same
    store = write_store(tmp_path / "s.zarr", hand)
    file = write_centers(tmp_path / "c.txt", hand + np.random.default_rng(5).normal(0, 10, hand.shape))
    with pytest.raises(HandbenchError, match=r"could be xyz-y-(up or xyz-y-down|down or xyz-y-up): .*--space"):
        import_centers(store, [file])
    assert import_centers(store, [file], space="xyz-y-down").read_as == "xyz-y-down"


def test_a_file_in_another_space_than_was_said_is_refused(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    file = write_centers(tmp_path / "c.txt", hand * [1, -1, 1])
    with pytest.raises(HandbenchError, match=r"does not fit: even read as uvd .* more than a quarter of the cube"):
        import_centers(store, [file], space="uvd")
    with pytest.raises(HandbenchError, match="unknown space 'yzx'"):
        import_centers(store, [file], space="yzx")


def test_centres_beside_the_hand_are_refused(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    near = write_centers(tmp_path / "near.txt", hand + np.array([0, 0, 60]))  # a quarter of the cube is 62.5 mm
    assert import_centers(store, [near]).from_truth == pytest.approx(60, abs=1e-3)
    far = write_centers(tmp_path / "far.txt", hand + np.array([0, 0, 65]))
    with pytest.raises(HandbenchError, match=r"65 mm \(median\) from the mean of the true joints"):
        import_centers(store, [far])


def test_the_real_nyu_file(nyu_store: Path, nyu_labels: np.ndarray, real: Path) -> None:
    file = real / "nyu" / "center_test_refined.txt"
    change = import_centers(nyu_store, [file])
    assert (change.read_as, change.frames, change.invalid, change.empty) == ("uvd", 8252, 0, 8252)
    assert change.from_truth == pytest.approx(19.81, abs=0.01)
    assert change.outside == 0
    split = Store(nyu_store)["test"]
    # the same line of AWR's file is -133.28715515137 -12.867971420288 761.99810791016, y up, with fx 588.03
    assert_allclose(split.center_xyz[0], [-133.28715515137, 12.867971420288, 761.99810791016], atol=2e-3)
    assert np.median(np.linalg.norm(split.center_xyz - nyu_labels.mean(axis=1), axis=1)) < 20


def test_the_real_nyu_file_in_xyz_with_y_up(nyu_store: Path, real: Path, tmp_path: Path) -> None:
    uvd, _ = read_center_file(real / "nyu" / "center_test_refined.txt")
    xyz = write_centers(tmp_path / "c.txt", uvd_to_xyz(uvd, NYU.camera) * [1, -1, 1])
    assert import_centers(nyu_store, [xyz]).read_as == "xyz-y-up"


@pytest.mark.parametrize("lines", [1, -1, 2, 50, -50, 2440])
def test_a_shifted_real_file_is_refused_and_the_shift_is_said(
    nyu_store: Path, real: Path, tmp_path: Path, lines: int
) -> None:
    uvd, _ = read_center_file(real / "nyu" / "center_test_refined.txt")
    shifted = write_centers(tmp_path / "c.txt", np.roll(uvd, lines, axis=0))
    way = "later" if lines > 0 else "earlier"
    message = rf"from the first frame on the centre of each frame stands {abs(lines):,} lines? {way} than it should"
    with pytest.raises(HandbenchError, match=message):
        import_centers(nyu_store, [shifted])


def test_a_line_that_is_missing_in_the_middle_is_found(nyu_store: Path, real: Path, tmp_path: Path) -> None:
    uvd, _ = read_center_file(real / "nyu" / "center_test_refined.txt")
    gone = np.concatenate((np.delete(uvd, 4000, axis=0), uvd[-1:]))
    file = write_centers(tmp_path / "c.txt", gone)
    with pytest.raises(HandbenchError, match=r"around frame test/1/000[45]\d{3} the centre .* 1 line earlier"):
        import_centers(nyu_store, [file])


def test_centres_in_no_order_are_refused(nyu_store: Path, real: Path, tmp_path: Path) -> None:
    uvd, _ = read_center_file(real / "nyu" / "center_test_refined.txt")
    file = write_centers(tmp_path / "c.txt", np.random.default_rng(0).permutation(uvd))
    with pytest.raises(HandbenchError, match="do not move as the hands of split test do"):
        import_centers(nyu_store, [file])


def test_shifts_are_not_seen_where_there_are_none(nyu_labels: np.ndarray, real: Path) -> None:
    uvd, _ = read_center_file(real / "nyu" / "center_test_refined.txt")
    xyz, hands = uvd_to_xyz(uvd, NYU.camera), nyu_labels.mean(axis=1)
    order = np.random.default_rng(0).permutation(len(xyz))
    for noise in (0, 2, 20):
        noisy = xyz + np.random.default_rng(noise).normal(0, noise, xyz.shape)
        assert find_shift(noisy, hands) is None
        assert follows(noisy, hands)
    assert find_shift(xyz[order], hands[order]) is None  # shuffled, but both alike, as HANDS17
    for frames in (1, 2, 10, 600):
        assert find_shift(xyz[:frames], hands[:frames]) is None


# --------------------------------------------------------------------------------------------- counts and folds


@pytest.fixture(scope="module")
def msra_store(tmp_path_factory: pytest.TempPathFactory, real: Path) -> tuple[Path, np.ndarray]:
    """The new release with hands about the real refined centres of fold 0; without images."""
    parts = [np.loadtxt(real / "msra" / f"center_{part}_0_refined.txt") for part in ("test", "train")]
    truth = np.concatenate(parts) * [1, -1, 1]
    sizes = MSRA.split("all").subjects["new"]
    subject = np.repeat(list(sizes), list(sizes.values()))
    mean = truth + np.random.default_rng(3).normal(0, 1, truth.shape)
    folder = tmp_path_factory.mktemp("msra")
    cube = np.full((len(truth), 3), 200.0)
    return write_store(folder / "m.zarr", mean, MSRA, release="new", subject=subject, cube=cube), truth


def test_the_two_real_files_of_a_fold_cover_a_split(msra_store: tuple[Path, np.ndarray], real: Path) -> None:
    store, truth = msra_store
    test, train = (real / "msra" / f"center_{part}_0_refined.txt" for part in ("test", "train"))
    for files in ([test, train], [train, test]):
        change = import_centers(store, files)
        assert (change.read_as, change.frames) == ("xyz-y-up", 76391)
        assert_allclose(Store(store)["all"].center_xyz, truth, atol=1e-3)
    together = hashlib.sha256(train.read_bytes() + test.read_bytes()).hexdigest()
    assert change.method == f"refined:{together}"


def test_a_fold_in_the_middle(msra_store: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    store, truth = msra_store
    own = Store(store)["all"].subject == "P3"
    train = write_centers(tmp_path / "train_3.txt", truth[~own] * [1, -1, 1])
    test = write_centers(tmp_path / "test_3.txt", truth[own] * [1, -1, 1])
    import_centers(store, [train, test])
    assert_allclose(Store(store)["all"].center_xyz, truth, atol=1e-3)


def test_files_of_subjects_in_the_wrong_order_are_refused(msra_store: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    store, truth = msra_store
    subject = Store(store)["all"].subject
    files = [
        write_centers(tmp_path / f"{i}.txt", truth[subject == f"P{i}"] * [1, -1, 1])
        for i in (0, 1, 2, 4, 3, 5, 6, 7, 8)
    ]
    with pytest.raises(HandbenchError, match=r"around frame .* the centre of each frame stands 8,(498|500) lines"):
        import_centers(store, files)


def test_a_wrong_number_of_lines_says_what_has_so_many(
    msra_store: tuple[Path, np.ndarray], nyu_store: Path, real: Path, tmp_path: Path
) -> None:
    store, truth = msra_store
    with pytest.raises(HandbenchError) as one:
        import_centers(store, [real / "msra" / "center_test_0_refined.txt"])
    assert "8,499 lines (subject P0 of all, release old or subject P0 of all, release new or subject P1" in str(
        one.value
    )
    assert "has 76,391 frames (release new), and each needs a line" in str(one.value)
    with pytest.raises(HandbenchError, match=r"67,892 lines \(all subjects but P0 of all, release new"):
        import_centers(store, [real / "msra" / "center_train_0_refined.txt"])
    old = write_centers(tmp_path / "old.txt", truth[:76375])
    with pytest.raises(HandbenchError, match=r"76,375 lines \(all of all, release old\); split all of"):
        import_centers(store, [old])
    with pytest.raises(HandbenchError, match=r"8,499 lines; split test of .* has 8,252 frames"):
        import_centers(nyu_store, [real / "msra" / "center_test_0_refined.txt"], split="test")


def test_the_split_is_the_one_with_as_many_frames(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=24, test=6)
    means = {name: mean_joint_xyz(Store(store)[name].joints_xyz) for name in ("train", "test")}
    assert import_centers(store, [write_centers(tmp_path / "c.txt", means["train"])]).split == "train"
    assert import_centers(store, [write_centers(tmp_path / "d.txt", means["test"])]).split == "test"
    with pytest.raises(HandbenchError, match=r"7 lines; .*s\.zarr has 24 of train, 6 of test"):
        import_centers(store, [write_centers(tmp_path / "e.txt", means["train"][:7])])
    even = write_tiny_store(tmp_path / "even.zarr", train=6, test=6)
    with pytest.raises(HandbenchError, match=r"as many as train and test; say which with --split"):
        import_centers(even, [tmp_path / "d.txt"])
    with pytest.raises(HandbenchError, match="no split 'all', only train, test"):
        import_centers(even, [tmp_path / "d.txt"], split="all")


# --------------------------------------------------------------------------------------- splits without labels


def discs(path: np.ndarray, camera: Camera, radius: float = 40.0) -> np.ndarray:
    """(N, H, W) mm: a disc at each point, before a wall at 1,000 mm."""
    v, u = np.indices((camera.height, camera.width))
    depth = np.full((len(path), camera.height, camera.width), 1000, np.uint16)
    for i, (x, y, z) in enumerate(path):
        depth[i][np.hypot((u - camera.cx) * z / camera.fx - x, (v - camera.cy) * z / camera.fy - y) < radius] = z
    return depth


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    camera = Camera(120.0, 120.0, 79.5, 59.5, 160, 120)
    path = walk(128, seed=3)
    depth = discs(path, camera)
    store = tmp_path_factory.mktemp("u") / "u.zarr"
    return write_store(store, path, dataset("hands17"), labelled=False, depth=depth, camera=camera), path


@pytest.mark.parametrize("space", ["uvd", "xyz-y-down", "xyz-y-up"])
def test_without_labels_the_depth_says_what_a_file_is(
    unlabelled: tuple[Path, np.ndarray], tmp_path: Path, space: str
) -> None:
    store, path = unlabelled
    found = path + np.random.default_rng(1).normal(0, 5, path.shape)
    file = write_centers(tmp_path / "c.txt", in_space(found, space, Store(store).camera))
    change = import_centers(store, [file])
    assert change.read_as == space
    assert np.isnan(change.from_truth)
    assert_allclose(Store(store)["test"].center_xyz, found, atol=1e-3)


def test_without_labels_centres_of_other_frames_are_refused(
    unlabelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    store, path = unlabelled
    with pytest.raises(HandbenchError, match=r"from the hand in the depth"):
        import_centers(store, [write_centers(tmp_path / "c.txt", path + np.array([150, 0, 0]))])
    with pytest.raises(HandbenchError, match=r"shifted against the store|do not move as the hands"):
        import_centers(store, [write_centers(tmp_path / "d.txt", np.roll(path, 20, axis=0))])


def test_the_box_says_where_the_hand_is(tmp_path: Path) -> None:
    camera = Camera(120.0, 120.0, 79.5, 59.5, 160, 120)
    path = walk(40, seed=4)
    depth = discs(path, camera)
    depth[:, :60, 120:] = 400  # something nearer than the hand
    u, v, _ = np.moveaxis(xyz_to_uvd(path, camera), -1, 0)
    bbox = np.stack((u - 15, v - 15, np.full(40, 30.0), np.full(40, 30.0)), axis=-1)
    file = write_centers(tmp_path / "c.txt", path)
    spec = dataset("hands17")
    with_box = write_store(tmp_path / "b.zarr", path, spec, labelled=False, depth=depth, camera=camera, bbox=bbox)
    assert import_centers(with_box, [file]).read_as == "xyz-y-down"
    without = write_store(tmp_path / "w.zarr", path, spec, labelled=False, depth=depth, camera=camera)
    with pytest.raises(HandbenchError, match="from the hand in the depth"):
        import_centers(without, [file])


def test_without_labels_and_depth_nothing_can_be_checked(tmp_path: Path, hand: np.ndarray) -> None:
    store = write_store(tmp_path / "s.zarr", hand, labelled=False)
    with pytest.raises(HandbenchError, match="neither labels nor depth to check centres against"):
        import_centers(store, [write_centers(tmp_path / "c.txt", hand)])


# ----------------------------------------------------------------------------------------- status and attributes


def test_invalid_lines_and_frames_that_can_be_used_again(tmp_path: Path, hand: np.ndarray) -> None:
    status = np.zeros(len(hand), np.uint8)
    status[[0, 1]] = FrameStatus.OUTSIDE_IMAGE
    status[[2, 3]] = FrameStatus.IMAGE_MISSING
    store = write_store(tmp_path / "s.zarr", hand, walls=True, status=status, center_xyz=hand + np.array([30, 40, 0]))
    lines = [" ".join(map(repr, point)) for point in hand.tolist()]
    lines[1] = lines[3] = lines[4] = "invalid"
    lines[5] = "5000 0 700"  # far beyond the image
    (tmp_path / "c.txt").write_text("\n".join(lines))
    change = import_centers(store, [tmp_path / "c.txt"])
    split = Store(store)["test"]
    assert split.status[:7].tolist() == [0, 4, 1, 1, 4, 4, 0]
    assert np.flatnonzero(np.isnan(split.center_xyz).any(axis=1)).tolist() == [1, 3, 4]
    assert (change.invalid, change.unusable, change.mended) == (3, 1, 1)
    assert change.moved == pytest.approx((50, 50), abs=1e-3)
    assert change.from_truth < 1e-3
    assert change.outside == pytest.approx(1 / 597)


def test_attributes_are_those_of_the_new_centres_alone(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    file = write_centers(tmp_path / "c.txt", xyz_to_uvd(hand, NYU.camera))
    import_centers(store, [file])
    for group in (xarray.open_zarr(store, group="test"), xarray.open_zarr(store, group="test", consolidated=False)):
        with group as data:
            attributes = data["center_xyz"].attrs
            assert attributes["center_method"] == f"refined:{hashlib.sha256(file.read_bytes()).hexdigest()}"
            assert attributes["center_file"] == "c.txt"
            assert (attributes["center_space"], attributes["center_axes"]) == ("uvd", "rows downwards")
            assert attributes["units"] == "mm"
            assert "near_mm" not in attributes
            assert_allclose(data["center_xyz"].to_numpy(), hand, atol=1e-3)
    compute_centers(store, ComputeConfig("gt-mean"))
    with xarray.open_zarr(store, group="test") as data:
        assert set(data["center_xyz"].attrs) == {"units", "frame", "long_name", "center_method"}


# --------------------------------------------------------------------------------------------------- computing


def test_com_is_computed_from_the_depth_of_the_store(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=140, test=3, bad_rows=(1,))
    changes = compute_centers(store, ComputeConfig("com", near=500, far=700))
    assert [(change.split, change.frames, change.invalid) for change in changes] == [("train", 140, 1), ("test", 3, 1)]
    for name in ("train", "test"):
        split = Store(store)[name]
        expected = [com_xyz(split.depth(row), CAMERA, 500, 700) for row in range(len(split))]
        assert_allclose(split.center_xyz, expected, rtol=1e-6)
        assert split.center_method == "com"
        assert split.status[1] == FrameStatus.IMAGE_MISSING
    with xarray.open_zarr(store, group="train") as data:
        assert (data["center_xyz"].attrs["near_mm"], data["center_xyz"].attrs["far_mm"]) == (500, 700)


def test_com_iterated_takes_the_cube_of_each_frame(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=5, test=3)
    compute_centers(store, ComputeConfig("com-iterated", splits=("test",)))
    split = Store(store)["test"]
    near, far = NYU.depth_range_mm
    expected = [com_iterated_xyz(split.depth(i), CAMERA, near, far, split.cube[i]) for i in range(3)]
    assert_allclose(split.center_xyz, expected, rtol=1e-6)
    assert (split.center_method, Store(store)["train"].center_method) == ("com-iterated", "gt-mean")


def test_gt_mean_is_the_mean_of_the_scored_joints(store: Path, hand: np.ndarray) -> None:
    (change,) = compute_centers(store, ComputeConfig("gt-mean"))
    assert_allclose(Store(store)["test"].center_xyz, hand, atol=1e-3)
    assert change.from_truth < 1e-3
    assert change.outside == 0


def test_what_cannot_be_computed_is_refused_and_changes_nothing(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    blind = write_store(tmp_path / "b.zarr", hand, labelled=False)
    with pytest.raises(HandbenchError, match="no frame of split test has a label"):
        compute_centers(blind, ComputeConfig("gt-mean"))
    with pytest.raises(HandbenchError, match="no frame of split test has a depth from 300 to 1200 mm"):
        compute_centers(blind, ComputeConfig("com"))
    with pytest.raises(HandbenchError, match="unknown centre method 'mean'"):
        ComputeConfig("mean")
    with pytest.raises(HandbenchError, match="gt-mean reads none"):
        ComputeConfig("gt-mean", near=3)
    with pytest.raises(HandbenchError, match="near must be below far"):
        compute_centers(store, ComputeConfig("com", near=1300))
    with pytest.raises(HandbenchError, match="no split 'train', only test"):
        compute_centers(store, ComputeConfig("com", splits=("train",)))
    assert Store(store)["test"].center_method == Store(blind)["test"].center_method == "com"


def test_a_damaged_frame_stops_the_computing_by_name(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=0, test=3)
    shard = store / "test" / "depth" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[30] ^= 1
    shard.write_bytes(data)
    with pytest.raises(HandbenchError, match=r"depth of frame test/1/0000001 .*damaged"):
        compute_centers(store, ComputeConfig("com"))
    assert Store(store)["test"].center_method == "gt-mean"


# ---------------------------------------------------------------------------------------------- safe at any moment


class Killed(Exception):
    """The process ends here."""


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the number-th file that zarr writes, and all after it, not be written."""
    put, count = zarr.storage._local._put, 0

    def dying_put(*args: Any, **options: Any) -> int:
        nonlocal count
        count += 1
        if count >= number:
            raise Killed
        return int(put(*args, **options))

    monkeypatch.setattr(zarr.storage._local, "_put", dying_put)


def facts(store: Path) -> dict[str, tuple[str, bytes, bytes]]:
    splits = Store(store)
    return {
        name: (splits[name].center_method, splits[name].center_xyz.tobytes(), splits[name].status.tobytes())
        for name in splits.splits
    }


def outcome(store: Path, old: Any, new: Any) -> str:
    """What a reader of the store gets."""
    try:
        found = facts(store)
    except HandbenchError as error:
        return "refused" if "replacing its centres was interrupted; repeat 'handbench centers" in str(error) else "lost"
    return "old" if found == old else "new" if found == new else "mixed"


def test_killed_at_any_write_the_store_is_old_or_new_or_refused(tmp_path: Path) -> None:
    def fresh(number: int) -> Path:
        return write_tiny_store(tmp_path / f"{number}.zarr", train=4, test=3, bad_rows=(1,))

    config = ComputeConfig("com", near=500)
    old = facts(fresh(0))
    compute_centers(tmp_path / "0.zarr", config)
    new = facts(tmp_path / "0.zarr")
    assert all(old[name] != new[name] for name in old)
    outcomes = []
    for number in range(1, 100):
        store = fresh(number)
        with pytest.MonkeyPatch.context() as patch:
            kill_at_write(patch, number)
            try:
                compute_centers(store, config)
                break
            except Killed:
                pass
        outcomes.append(outcome(store, old, new))
        (first, _) = compute_centers(store, config)
        assert facts(store) == new
        assert first.old_method == ("interrupted" if outcomes[-1] == "refused" else "gt-mean")
    assert len(outcomes) > 6
    assert set(outcomes) == {"old", "refused"}
    with xarray.open_zarr(store, group="train") as data:  # would warn without consolidated metadata
        assert data["center_xyz"].attrs["center_method"] == "com"


def test_an_interrupted_change_is_finished_for_all_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=4, test=3)
    with pytest.MonkeyPatch.context() as patch:
        kill_at_write(patch, 3)
        with pytest.raises(Killed):
            compute_centers(store, ComputeConfig("com"))
    with pytest.raises(HandbenchError, match=r"replacing the centres of train, test was interrupted; .*for train"):
        compute_centers(store, ComputeConfig("com", splits=("test",)))
    compute_centers(store, ComputeConfig("gt-mean"))
    assert Store(store)["train"].center_method == Store(store)["test"].center_method == "gt-mean"


def test_sigkill_amid_the_writes(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=0, test=3)
    script = f"""
        import os, signal, handbench.store.edit as edit
        from pathlib import Path
        from handbench.converters.centers import ComputeConfig, compute_centers
        edit.consolidate = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        compute_centers(Path({str(store)!r}), ComputeConfig("com"))
    """
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(HandbenchError, match="replacing its centres was interrupted"):
        Store(store)
    compute_centers(store, ComputeConfig("com"))
    assert Store(store)["test"].center_method == "com"


def test_only_one_process_writes(store: Path) -> None:
    with FileLock(store.with_name(f"{store.name}.lock")), pytest.raises(HandbenchError, match="another process is"):
        compute_centers(store, ComputeConfig("gt-mean"))
    compute_centers(store, ComputeConfig("gt-mean"))
    assert not store.with_name(f"{store.name}.lock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written(store: Path) -> None:
    (store / "zarr.json").chmod(0o400)
    store.chmod(0o500)
    try:
        with pytest.raises(HandbenchError, match="cannot be written"):
            compute_centers(store, ComputeConfig("gt-mean"))
    finally:
        store.chmod(0o700)


def test_centres_of_another_shape_are_refused(store: Path) -> None:
    with pytest.raises(ShapeError, match="not"):
        NewCenters(np.zeros((3, 2)), np.zeros(3, np.uint8), {})
    with pytest.raises(ShapeError, match="has 600 frames, not 3"):
        replace_centers(store, {"test": NewCenters(np.zeros((3, 3)), np.zeros(3, np.uint8), {})})
    with pytest.raises(HandbenchError, match="there is no store"):
        replace_centers(store.with_name("nothing.zarr"), {})


# -------------------------------------------------------------------------------------------------- the commands


def test_import_says_what_it_did(tmp_path: Path, hand: np.ndarray) -> None:
    store = write_store(tmp_path / "s.zarr", hand, walls=True)
    file = write_centers(tmp_path / "c.txt", hand + np.array([6, 8, 0]))
    result = CliRunner().invoke(centers, ["import", str(store), str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.stdout == (
        f"{store} test: 600 frames, centre refined:{sha256[:8]}… read as xyz-y-down in the place of com; "
        "10.0 mm from the mean of the true joints, 0.00% further than half the cube; 0 invalid; "
        "600 frames usable again\n"
    )


def test_compute_says_it_in_json(store: Path) -> None:
    result = CliRunner().invoke(centers, ["compute", str(store), "--method", "gt-mean", "--json"])
    told = json.loads(result.stdout)["splits"]["test"]
    assert (told["frames"], told["method"], told["old_method"], told["invalid"]) == (600, "gt-mean", "com", 0)
    assert told["moved"] == [None, None]  # there were no centres before


def test_the_commands_pass_errors_on(tmp_path: Path, store: Path) -> None:
    run = CliRunner().invoke
    assert isinstance(run(centers, ["import", str(store), str(tmp_path / "no.txt")]).exception, HandbenchError)
    assert isinstance(run(centers, ["compute", str(tmp_path), "--method", "com"]).exception, HandbenchError)
    assert run(centers, ["compute", str(store)]).exit_code == 2
    assert run(centers, ["import", str(store)]).exit_code == 2
    assert _SPACES == SPACES


def test_ctrl_c_leaves_the_store_as_it_was(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handbench.converters.center_change.replace_centers", stop)
    result = CliRunner().invoke(centers, ["compute", str(store), "--method", "gt-mean"])
    assert result.exit_code == 130
    assert "has the centres it had" in result.stderr
    assert Store(store)["test"].center_method == "com"
