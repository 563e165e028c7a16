"""`handbench show`: which frames, where joints are drawn, what the sheet looks like, 3D view."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.frames import FramesReader
from handbench.converters.windows import WindowsConfig, make_windows
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.score import score_frames
from handbench.eval.truth import read_truth
from handbench.frame_errors import frames_file, write_frame_errors
from handbench.plots.show import FINGER_COLORS, PRED_COLOR, columns_of, draw_sheet, skeleton
from handbench.plots.show_panels import Panel, Panels, View
from handbench.plots.show_rows import Choice, parse_rows, statuses_of
from handbench.plots.show_scores import read_pred_uvd, read_scored
from handbench.plots.style import paper_style
from handbench.predictions import Predictions, read_predictions, write_predictions
from handbench.preprocess import AugmentConfig
from handbench.scores import write_scores
from handbench.store import FrameStatus, Split, Store
from tests.tiny_store import CAMERA, write_tiny_store

FRAMES = 12
BAD = 4
MIRROR = AugmentConfig(mirror=1.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve test frames; row 4 has no image."""
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=5, test=FRAMES, bad_rows=(BAD,))


@pytest.fixture(scope="module")
def store(path: Path) -> Store:
    return Store(path)


@pytest.fixture(scope="module")
def split(store: Store) -> Split:
    return store["test"]


@pytest.fixture(scope="module")
def scored(path: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of predictions that are off by (row, 0, 0) mm, and 90 mm in row 7; and the predictions beside them."""
    folder = tmp_path_factory.mktemp("scores")
    split = store["test"]
    off = np.arange(FRAMES, dtype=np.float64)
    off[7] = 90
    joints = split.joints_xyz[:, list(store.spec.joints.scored)].astype(np.float64)
    pred = xyz_to_uvd(joints + off[:, None, None] * np.array([1, 0, 0]), CAMERA)
    write_predictions(folder / "mine.txt", Predictions("mine", pred))
    made = score_frames(read_predictions(folder / "mine.txt", 14, store.spec, camera=CAMERA), read_truth(path))
    write_scores(folder / "mine.scores.json", made.scores)
    write_frame_errors(frames_file(folder / "mine.scores.json"), made.frames)
    return folder / "mine.scores.json"


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["show", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def refusal(*args: object) -> str:
    """The one line that a user's mistake gets."""
    (line,) = run(*args, code=2).stderr.splitlines()
    return line


# ---- which frames


def test_rows_by_number_and_range() -> None:
    assert parse_rows("3,5,10-12", 20).tolist() == [3, 5, 10, 11, 12]
    assert parse_rows(" 7 ", 8).tolist() == [7]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3,x", "is not of the form 3,5,10-20"),
        ("-1", "is not of the form"),
        ("", "is not of the form"),
        ("5-3", "runs backwards"),
        ("3,20", "20 is beyond the split, its rows are 0 to 19"),
    ],
)
def test_rows_that_are_none(text: str, words: str) -> None:
    with pytest.raises(HandbenchError, match=words):
        parse_rows(text, 20)


def test_more_rows_than_a_sheet_has_room_for() -> None:
    with pytest.raises(HandbenchError, match="more than 400 frames"):
        parse_rows("0-999999999", 10**9 + 1)


def test_statuses_by_any_spelling() -> None:
    missing = [int(FrameStatus.IMAGE_MISSING)]
    assert statuses_of("image missing") == statuses_of("Image-Missing") == statuses_of("IMAGE_MISSING") == missing
    assert statuses_of("bad") == [int(s) for s in FrameStatus if s is not FrameStatus.OK]
    with pytest.raises(HandbenchError, match=r"there are ok, image missing, .*, bad"):
        statuses_of("broken")


def test_frames_are_spread_or_the_worst(split: Split) -> None:
    assert Choice(count=4).rows(split).tolist() == [0, 4, 7, 11]
    assert Choice(count=99).rows(split).tolist() == list(range(FRAMES))
    assert Choice(status="bad").rows(split).tolist() == [BAD]
    error = np.arange(FRAMES, dtype=np.float64)
    error[[9, 11]] = np.nan, 2.5
    assert Choice(count=3).rows(split, error).tolist() == [10, 8, 7]
    assert Choice(index="9,1").rows(split, error).tolist() == [9, 1]


def test_subjects(tmp_path: Path, split: Split) -> None:
    named = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=5))["test"]
    named.subject[[1, 3]] = "b"
    named.subject[[0, 2, 4]] = "a"
    assert Choice(subject="b").rows(named).tolist() == [1, 3]
    with pytest.raises(HandbenchError, match="has no subject 'c', only a, b"):
        Choice(subject="c").rows(named)
    with pytest.raises(HandbenchError, match="it tells no subjects apart"):
        Choice(subject="c").rows(split)


# ---- scores and predictions


def test_errors_of_a_scores_file_find_their_rows(store: Store, split: Split, scored: Path) -> None:
    error = read_scored(scored, store).error_mm(split)
    expected = np.arange(FRAMES, dtype=np.float64)
    expected[[BAD, 7]] = np.nan, 90
    assert_allclose(error, expected, atol=0.02)  # texts have 3 digits
    assert Choice(count=2).rows(split, error).tolist() == [7, 11]


def test_scores_of_other_frames_are_refused(store: Store, scored: Path, tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="mine was scored on split test, not on train"):
        read_scored(scored, store).error_mm(store["train"])
    shorter = Store(write_tiny_store(tmp_path / "t.zarr", train=0, test=8))
    with pytest.raises(HandbenchError, match="scored on 11 frames, split test has 7 that count"):
        read_scored(scored, shorter).error_mm(shorter["test"])
    icvl = Store(write_tiny_store(tmp_path / "i.zarr", train=0, test=2, spec=dataset("icvl")))
    with pytest.raises(HandbenchError, match=r"are scores on nyu, .* is a store of icvl"):
        read_scored(scored, icvl)
    with pytest.raises(HandbenchError, match=r"holds no \*\.scores\.json"):
        read_scored(tmp_path, store)


def test_predictions_are_found_by_their_checksum(store: Store, scored: Path, tmp_path: Path) -> None:
    found = read_scored(scored, store)
    assert found.find_predictions() == scored.parent / "mine.txt"
    (tmp_path / "scores").mkdir()
    (tmp_path / "predictions").mkdir()
    moved = replace(found, folder=tmp_path / "scores")
    (tmp_path / "mine.txt").write_text("other predictions of that name")
    assert moved.find_predictions() is None
    (tmp_path / "predictions" / "mine.txt").write_bytes((scored.parent / "mine.txt").read_bytes())
    assert moved.find_predictions() == tmp_path / "predictions" / "mine.txt"


def test_predictions_by_line_and_by_key(store: Store, split: Split, scored: Path, tmp_path: Path) -> None:
    by_line = read_pred_uvd(scored.parent / "mine.txt", store, split)
    assert by_line.shape == (FRAMES, 14, 3)
    keys = tuple(split.frame_key[[6, 2]].tolist())
    write_predictions(tmp_path / "two.npz", Predictions("two", by_line[[6, 2]], keys))
    two = read_pred_uvd(tmp_path / "two.npz", store, split)
    assert_allclose(two[[2, 6]], by_line[[2, 6]], rtol=1e-6)
    assert np.isnan(np.delete(two, [2, 6], axis=0)).all()
    with pytest.raises(HandbenchError, match="predicts no frame of split train"):
        read_pred_uvd(tmp_path / "two.npz", store, store["train"])
    with pytest.raises(HandbenchError, match="has 12 frames, split train has 5"):
        read_pred_uvd(scored.parent / "mine.txt", store, store["train"])


# ---- panels: joints lie where the image has them


def seen_at(panel: Panel) -> np.ndarray:
    """(J,) whether each joint lies on a pixel with something."""
    pixel = np.rint(panel.joints_uv).astype(int)
    inside = ((pixel >= 0) & (pixel < panel.image.shape[::-1])).all(axis=1)
    seen = np.isfinite(panel.image[pixel[inside, 1], pixel[inside, 0]])
    return np.asarray(seen)


def test_joints_of_a_frame_are_projected(store: Store, split: Split) -> None:
    (panel,) = Panels(store, split, View()).of(2)
    joints = split.joints_xyz[2, list(store.spec.joints.scored)]
    assert_allclose(panel.joints_uv, xyz_to_uvd(joints, CAMERA)[:, :2], rtol=1e-5)
    assert seen_at(panel).all()
    assert np.isnan(panel.image[split.depth(2) == 0]).all()
    assert panel.box_uv is not None
    center, half = split.center_xyz[2].astype(np.float64), 125 * CAMERA.fx / split.center_xyz[2, 2]
    assert_allclose(panel.box_uv.mean(axis=0), xyz_to_uvd(center, CAMERA)[:2])
    assert_allclose(np.ptp(panel.box_uv, axis=0), 2 * half)


def test_a_joint_at_the_centre_is_in_the_middle_of_the_crop(tmp_path: Path) -> None:
    store = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=1))
    split = store["test"]
    split.joints_xyz[0, store.spec.joints.scored[0]] = split.center_xyz[0]
    (panel,) = Panels(store, split, View(crop=True, size=64)).of(0)
    assert_allclose(panel.joints_uv[0], 31.5, atol=1e-4)


@pytest.mark.parametrize("config", [AugmentConfig(), MIRROR], ids=["paper", "mirrored"])
def test_joints_follow_every_augmentation(store: Store, split: Split, config: AugmentConfig) -> None:
    upright, *augmented = Panels(store, split, View(augment=8, config=config)).of(1)
    assert seen_at(upright).all()
    for panel in augmented:
        assert seen_at(panel).mean() > 0.95
        assert not np.allclose(panel.joints_uv, upright.joints_uv, atol=2)
        turned = np.linalg.det(np.cov(panel.joints_uv.T, upright.joints_uv.T)[:2, 2:])
        assert (turned < 0) == bool(config.mirror), "a mirror turns the sense of rotation round"
        assert panel.caption.endswith("\nmirrored") == bool(config.mirror)


def test_augmented_crops_are_those_of_the_first_epochs_of_training(path: Path, store: Store, split: Split) -> None:
    loading = pytest.importorskip("handbench.loading")
    config = AugmentConfig(mirror=0.5, noise_mm=(0.0, 5.0), occluders=2)
    samples = loading.HandDataset(path, "test", 64, np.array([3]), config, 7)
    _, *augmented = Panels(store, split, View(augment=3, config=config, size=64, seed=7)).of(3)
    for epoch, panel in enumerate(augmented, start=1):
        sample = samples[(epoch, 0)]
        assert_array_equal(np.nan_to_num(panel.image, nan=1.0), sample["depth"][0].numpy())
        assert_allclose(panel.joints_uv, sample["target"][:, :2].numpy() * 32 + 31.5, atol=1e-3)


def test_predictions_follow_too(store: Store, split: Split, scored: Path) -> None:
    uvd = read_pred_uvd(scored.parent / "mine.txt", store, split)
    error = np.full(FRAMES, np.nan)
    error[0] = 12.34
    for panel in Panels(store, split, View(augment=2), uvd, error).of(0):  # row 0 is off by 0 mm
        assert panel.pred_uv is not None
        assert_allclose(panel.pred_uv, panel.joints_uv, atol=0.02)
    (panel,) = Panels(store, split, View(), uvd, error).of(0)
    assert panel.caption == "test/1/0000001\n12.3 mm"
    (panel,) = Panels(store, split, View(), uvd, error).of(1)
    assert panel.caption == "test/1/0000002\nnot scored"


def test_frames_without_image_or_box_say_so(store: Store, split: Split) -> None:
    (frame,) = Panels(store, split, View()).of(BAD)
    assert (frame.problem, frame.caption) == ("no depth", "test/1/0000005\nimage missing")
    assert frame.box_uv is None
    crops = list(Panels(store, split, View(augment=2)).of(BAD))
    assert [crop.problem for crop in crops] == ["no centre"] * 3


def test_a_box_outside_the_frame_says_so(tmp_path: Path) -> None:
    store = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=1))
    split = store["test"]
    split.center_xyz[0] = 5000, 0, 600
    (panel,) = Panels(store, split, View(crop=True)).of(0)
    assert panel.problem == "the box lies wholly outside the frame"


def test_windows_show_the_crops_of_their_frames(path: Path, store: Store, split: Split, tmp_path: Path) -> None:
    make_windows(path, tmp_path / "w.zarr", WindowsConfig(augment=AugmentConfig()))
    windows = Store(tmp_path / "w.zarr")
    for one, other in zip(
        Panels(store, split, View(augment=3)).of(5),
        Panels(windows, windows["test"], View(augment=3)).of(5),
        strict=True,
    ):
        assert_array_equal(one.image, other.image)
        assert_array_equal(one.joints_uv, other.joints_uv)
    run(tmp_path / "w.zarr", "--augment", 1, "--count", 2, "-o", tmp_path / "w.png")
    message = refusal(tmp_path / "w.zarr", "--augment", 1, "--set", "augment.scale=[0.5,1.5]", "-o", tmp_path / "x.png")
    assert "without room for this augmentation: scale 0.5 to 1.5" in message


# ---- the sheet


def sheet(store: Store, split: Split, rows: range, view: View, uvd: Any = None) -> Figure:
    panels = [panel for row in rows for panel in Panels(store, split, view, uvd).of(row)]
    with paper_style():
        figure = draw_sheet(
            panels, store.spec.joints, columns_of(len(panels), 1 + view.augment), 6.875, "a_$x$.zarr, test"
        )
        figure.draw_without_rendering()
    return figure


def test_a_panel_a_frame_with_bones_of_their_fingers(store: Store, split: Split, scored: Path) -> None:
    uvd = read_pred_uvd(scored.parent / "mine.txt", store, split)
    figure = sheet(store, split, range(9), View(), uvd)
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes][1] == "test/1/0000002"
    axes = figure.axes[3]
    box, *bones = axes.get_lines()
    edges = skeleton(store.spec.joints)
    assert to_hex(box.get_color()) == PRED_COLOR
    assert [to_hex(bone.get_color()) for bone in bones] == [color for _, color in edges] + [PRED_COLOR] * len(edges)
    fingers = store.spec.joints.scored_fingers
    for (edge, color), bone in zip(edges, bones, strict=False):
        assert color == FINGER_COLORS[fingers[edge[0]]]
        joints = split.joints_xyz[3, [store.spec.joints.scored[i] for i in edge]]
        assert_allclose(np.asarray(bone.get_xdata()), xyz_to_uvd(joints, CAMERA)[:, 0], rtol=1e-5)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*FINGER_COLORS, "prediction"]


@pytest.mark.parametrize("name", ["nyu", "msra"])
@pytest.mark.parametrize("view", [View(), View(augment=7)], ids=["frames", "augmented"])
def test_captions_do_not_overlap(name: str, view: View, tmp_path: Path) -> None:
    store = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=10, spec=dataset(name), bad_rows=(0,)))
    figure = sheet(store, store["test"], range(2 if view.augment else 10), view)
    assert columns_of(10, 1) == 4
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    panels = [axes.get_window_extent() for axes in figure.axes]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in [*boxes[i + 1 :], *panels])
    (legend,) = figure.legends
    assert not any(legend.get_window_extent().overlaps(panel) for panel in panels)


def test_long_keys_keep_their_end(store: Store, split: Split) -> None:
    (panel,) = Panels(store, split, View()).of(0)
    with paper_style():
        figure = draw_sheet([replace(panel, caption="session/" * 30 + "frame_$7")], store.spec.joints, 4, 6.875, "t")
    title = figure.axes[0].get_title()
    assert title.startswith("…")
    assert title.endswith(r"frame_\$7")


# ---- the command


def test_a_sheet_and_the_same_bytes_again(path: Path, tmp_path: Path) -> None:
    said = run(path, "-o", tmp_path / "a.png", "--crop", "--index", "4-5").stderr
    assert "tiny.zarr, test: 2 of 12 frames; centre gt-mean" in said
    assert "1 pictures are empty, the first: test/1/0000005: no centre" in said
    run(path, "-o", tmp_path / "b.png", "--crop", "--index", "4-5")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    run(path, "-o", tmp_path / "c.pdf", "--split", "train", "--augment", 2, "--count", 2, "--set", "augment.mirror=1.0")
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_the_sheet_goes_where_one_stands(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(path, "--index", "0-2")
    assert (tmp_path / "sheet.png").is_file()
    assert "sheet.png exists already" in refusal(path, "--index", "0-2")
    run(path, "--index", "0-2", "--overwrite")


def test_the_worst_frames_with_predictions(path: Path, scored: Path, tmp_path: Path) -> None:
    said = run(path, "--error", scored, "--count", 3, "-o", tmp_path / "a.png").stderr
    assert "test: the worst 3 of 12 frames; mine; centre gt-mean" in said
    assert "pass --pred" not in said
    (tmp_path / "s").mkdir()
    for file in (scored, frames_file(scored)):
        (tmp_path / "s" / file.name).write_bytes(file.read_bytes())
    said = run(path, "--error", tmp_path / "s", "--count", 3, "-o", tmp_path / "b.png").stderr
    assert "mine.txt, which was scored, is not beside the scores any more; pass --pred FILE" in said
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_what_is_refused(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    assert "leave out --subject and --status" in refusal(path, "--index", "1", "--status", "ok", "-o", out)
    assert "no frame of split test is there to show (image corrupt)" in refusal(
        path, "--status", "image corrupt", "-o", out
    )
    assert "is none of .png, .pdf, .svg (.rrd goes with --rerun)" in refusal(path, "-o", tmp_path / "a.rrd")
    assert "a.png is none of .rrd" in refusal(path, "--rerun", "-o", out)
    assert "add --augment N" in refusal(path, "--set", "augment.mirror=1.0", "-o", out)
    assert "has no split 'val'" in refusal(path, "--split", "val", "-o", out)
    assert "there is no store" in refusal(tmp_path / "none.zarr", "-o", out)
    assert "No such file" in refusal(path, "--error", tmp_path / "none.scores.json", "-o", out)
    assert not out.exists()


def test_frames_without_joints(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for i in range(3):
        assert cv2.imwrite(str(tmp_path / "raw" / f"{i}.png"), np.full((48, 64), 600 + i, np.uint16))
    store = tmp_path / "f.zarr"
    convert(FramesReader(tmp_path / "raw", CAMERA), store, ConvertConfig())
    run(store, "-o", tmp_path / "a.png", "--augment", 1)
    figure = sheet(Store(store), Store(store)["test"], range(3), View())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == []


# ---- 3D


class Recorder(ModuleType):
    """Stands in for rerun: notes what it is told, in the order of time."""

    def __init__(self) -> None:
        super().__init__("rerun")
        self.told: list[tuple[str, str, Any]] = []
        self.time = -1
        self.ViewCoordinates = SimpleNamespace(RDF="RDF")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: (name, args, options)

    def set_time(self, timeline: str, *, sequence: int) -> None:
        self.time = sequence

    def log(self, where: str, what: Any, static: bool = False) -> None:
        self.told.append((f"{self.time} {where}", what[0] if isinstance(what, tuple) else what, what))

    def save(self, path: str) -> None:
        Path(path).write_bytes(b"rrd")


def test_what_the_viewer_is_told(path: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rerun = Recorder()
    monkeypatch.setitem(sys.modules, "rerun", rerun)
    run(path, "--rerun", "--index", "2,4", "--pred", scored.parent / "mine.txt", "-o", tmp_path / "a.rrd")
    assert (tmp_path / "a.rrd").read_bytes() == b"rrd"
    told = {where: what for where, _, what in rerun.told}
    store = Store(path)
    split = store["test"]
    joints = split.joints_xyz[2, list(store.spec.joints.scored)].astype(np.float64)
    assert_array_equal(told["0 camera/label/joints"][1][0], joints)
    assert_allclose(told["0 camera/prediction/joints"][1][0], joints + np.array([2, 0, 0]), atol=0.05)
    assert len(told["0 camera/label/bones"][1][0]) == len(store.spec.joints.scored_edges)
    xyz = told["0 camera/cloud"][1][0]
    assert len(xyz) == (split.depth(2) > 0).sum()
    assert_allclose(xyz.mean(axis=0), split.center_xyz[2], atol=60)
    assert_array_equal(told["0 camera/box"][2]["centers"][0], split.center_xyz[2])
    assert_array_equal(told["0 camera/box"][2]["half_sizes"][0], [125, 125, 125])
    assert told["1 camera/box"][0] == "Clear", "row 4 has no image: nothing of row 2 may stay"
    assert told["1 camera/key"][1] == ("test/1/0000005",)


def test_a_recording_for_the_real_viewer(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    run(path, "--rerun", "--count", 3, "-o", tmp_path / "a.rrd")
    data = (tmp_path / "a.rrd").read_bytes()
    assert data.startswith(b"RRF")
    assert len(data) > 5000
    assert list(tmp_path.iterdir()) == [tmp_path / "a.rrd"]


def test_without_rerun_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert refusal(path, "--rerun") == 'Error: --rerun needs rerun-sdk; pip install "handbench[view]"'
