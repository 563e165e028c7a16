"""Files of hand centres: reading them, telling what they are, and refusing those of other frames."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.converters.center_files import find_shift, follows, read_center_file
from handbench.converters.centers import import_centers
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.preprocess.center import mean_joint_xyz
from handbench.store import FrameStatus, Store
from tests.center_stores import MSRA, NYU, discs, walk, write_centers, write_store
from tests.tiny_store import write_tiny_store


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


def msra_fold(folder: Path, real: Path, every: int) -> tuple[Path, np.ndarray]:
    """Hands of the new release, or some of them, about the real refined centres of fold 0; without images.

    Every box is looked into when centres are imported, so the camera is 20 times coarser than MSRA's.
    """
    parts = [np.loadtxt(real / "msra" / f"center_{part}_0_refined.txt")[::every] for part in ("test", "train")]
    truth = np.concatenate(parts) * [1, -1, 1]
    subjects = np.repeat(np.arange(9), list(MSRA.split("all").subjects["new"].values()))
    subject = np.concatenate((subjects[subjects == 0][::every], subjects[subjects > 0][::every]))
    full = MSRA.camera
    store = write_store(
        folder / "m.zarr",
        truth + np.random.default_rng(3).normal(0, 1, truth.shape),
        MSRA,
        camera=Camera(full.fx / 20, full.fy / 20, full.cx / 20, full.cy / 20, full.width // 20, full.height // 20),
        release="new",
        subject=np.char.add("P", subject.astype(str)),
        cube=np.full((len(truth), 3), 200.0),
    )
    return store, truth


@pytest.fixture(scope="module")
def msra_store(tmp_path_factory: pytest.TempPathFactory, real: Path) -> tuple[Path, np.ndarray]:
    return msra_fold(tmp_path_factory.mktemp("msra"), real, every=1)


@pytest.fixture(scope="module")
def msra_tenth(tmp_path_factory: pytest.TempPathFactory, real: Path) -> tuple[Path, np.ndarray]:
    return msra_fold(tmp_path_factory.mktemp("msra"), real, every=10)


def test_the_two_real_files_of_a_fold_cover_a_split(msra_store: tuple[Path, np.ndarray], real: Path) -> None:
    store, truth = msra_store
    test, train = (real / "msra" / f"center_{part}_0_refined.txt" for part in ("test", "train"))
    change = import_centers(store, [train, test])
    assert (change.read_as, change.frames, change.empty) == ("xyz-y-up", 76391, 76391)
    assert_allclose(Store(store)["all"].center_xyz, truth, atol=1e-3)
    together = hashlib.sha256(train.read_bytes() + test.read_bytes()).hexdigest()
    assert change.method == f"refined:{together}"


@pytest.mark.parametrize("held_out", ["P0", "P3", "P8"])
@pytest.mark.parametrize("first", ["train", "test"])
def test_the_files_of_any_fold_cover_a_split_in_either_order(
    msra_tenth: tuple[Path, np.ndarray], tmp_path: Path, held_out: str, first: str
) -> None:
    store, truth = msra_tenth
    own = Store(store)["all"].subject == held_out
    train = write_centers(tmp_path / "train.txt", truth[~own] * [1, -1, 1])
    test = write_centers(tmp_path / "test.txt", truth[own] * [1, -1, 1])
    change = import_centers(store, [train, test] if first == "train" else [test, train])
    assert change.read_as == "xyz-y-up"
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
