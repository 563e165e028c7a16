"""Localisation refinement: a network of centres, its centres in a store, and the switch `data.localization`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import zarr
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.cli import main
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.loading import HandDataset, ResidentBatches, croppable_rows, stored_box
from handbench.predictions import read_predictions
from handbench.preprocess import AugmentConfig, HandBox, mean_joint_xyz
from handbench.preprocess.windows import Margin, Reach, cut_window
from handbench.srn.checkpoint import load_checkpoint, read_card, save_checkpoint
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.localizer import Localizer, localizer_name
from handbench.srn.run import RunFolder
from handbench.srn.train import train
from handbench.store import FrameStatus, Store, StoreWriter
from handbench.store.edit import NewCenters, replace_centers
from handbench.store.layout import COLUMNS, WindowFacts
from tests.tiny_store import write_tiny_store

Array = npt.NDArray[Any]
CPU = torch.device("cpu")
LOCALIZER = (
    *("model.crop_size=48", "optim.epochs=30", "optim.batch_size=8", "optim.lr=0.1", "optim.lr_step=20"),
    *("augment.roll_deg=[0, 0]", "augment.translation_mm=[-10, 10]", "data.cache=true", "data.validation_blocks=2"),
)
SRN = (
    *("model.backbone=small", "model.stages=1", "model.crop_size=48", "optim.epochs=2", "optim.batch_size=8"),
    *("optim.lr=0.05", "data.cache=true", "data.validation_blocks=2"),
)


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def set_options(*sets: str) -> list[str]:
    return [part for text in sets for part in ("--set", text)]


def write_store(path: Path, test: int = 6) -> Path:
    """A store whose centres are off by about 30 mm, as centres of mass are; row 2 of each split has no image."""
    write_tiny_store(path, train=24, test=test, bad_rows=(2,))
    store, rng = Store(path), np.random.default_rng(5)
    new = {}
    for name in store.splits:
        split = store[name]
        off = split.center_xyz + rng.uniform(-30, 30, (len(split), 3)).astype(np.float32)
        new[name] = NewCenters(off, split.status, {"center_method": "com"})
    replace_centers(path, new)
    return path


def true_centers(path: Path, split: str) -> Array:
    store = Store(path)
    return mean_joint_xyz(store[split].joints_xyz[:, list(store.spec.joints.scored)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "tiny.zarr")


@pytest.fixture(scope="module")
def localizer(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "loc 1"
    result = call("train-localizer", store, "--out", out, "--device", "cpu", *set_options(*LOCALIZER))
    assert result.exit_code == 0, result.output
    return out


def srn_config(localizer: Path, localization: str, *sets: str) -> TrainConfig:
    named = (f"data.localizer={localizer}", f"data.localization={localization}")
    return load_config("paper-nyu", sets=[*SRN, *named, *sets])


# -- the network -----------------------------------------------------------------------------------------------------


def test_train_localizer_is_the_trainer_with_its_preset(store: Path, localizer: Path) -> None:
    card = read_card(localizer / "last.safetensors")
    assert card.joints == ("center",)
    assert (card.config.model.predicts, card.config.model.backbone) == ("center", "small")
    assert (card.center_method, card.localizer) == ("com", None)
    shown = json.loads(call("model", "info", localizer / "last.safetensors", "--json").stdout)
    assert (shown["joints"], shown["localizer"]) == (1, None)
    assert shown["parameters"] == json.loads(call("model", "info", "--preset", "localizer", "--json").stdout)[
        "parameters"
    ] + 64 * 256 * (9 - 16)  # the same network with crops of 48 in place of 64 px
    log = [json.loads(line) for line in (localizer / "log.jsonl").read_text().splitlines()]
    assert len(log) == 30
    assert log[-1]["validation_error_mm"] < 0.7 * log[0]["validation_error_mm"]


def test_it_is_resumed_to_the_same_weights(store: Path, tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    options = ["--device", "cpu", *set_options(*LOCALIZER)]
    assert call("train-localizer", store, "--out", straight, *options, "--set", "optim.epochs=2").exit_code == 0
    assert call("train-localizer", store, "--out", resumed, *options, "--set", "optim.epochs=1").exit_code == 0
    more = ["--resume", "--device", "cpu", "--set", "optim.epochs=2"]
    assert call("train-localizer", store, "--out", resumed, *more).exit_code == 0
    expected, found = (load_checkpoint(run / "last.safetensors", CPU)[0].state_dict() for run in (straight, resumed))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_centers_are_where_the_network_says(store: Path, localizer: Path) -> None:
    """Crop by crop and by hand: the output, through the box, into the camera frame; a second time about that."""
    loaded = Localizer.load(localizer / "last.safetensors", CPU)
    opened = Store(store)
    split, rows = opened["test"], np.array([1, 3])
    expected = split.center_xyz.copy()
    for count in (1, 2):
        frames = HandDataset(store, "test", 48, rows, center_xyz=expected)
        with torch.no_grad():
            output = loaded.model(torch.stack([frames[i]["depth"] for i in range(2)]))[0].double().numpy()
        box = stored_box(split, rows, expected)
        expected[rows] = box.bb_to_xyz(box.si_norm_to_bb(output))[:, 0]
        found = loaded.centers(opened, split, rows, iterations=count)
        assert_allclose(found[rows], expected[rows], atol=1e-3)
        assert np.isnan(np.delete(found, rows, axis=0)).all()


def test_names() -> None:
    assert localizer_name(Path("runs/my loc")) == "my-loc"
    assert localizer_name(Path("runs/loc/best.safetensors")) == "loc"
    assert localizer_name(Path("runs/other.safetensors")) == "other"


# -- samples about other centres -------------------------------------------------------------------------------------


def test_samples_about_given_centres_are_those_of_a_store_that_has_them(store: Path, tmp_path: Path) -> None:
    moved = write_store(tmp_path / "moved.zarr")
    split = Store(moved)["train"]
    given = split.center_xyz + np.float32(7)
    replace_centers(moved, {"train": NewCenters(given, split.status, {"center_method": "predicted:x"})})
    rows = np.array([0, 5, 9])
    augment = AugmentConfig()
    expected = HandDataset(moved, "train", 48, rows, augment)
    for found in (
        HandDataset(store, "train", 48, rows, augment, center_xyz=given),
        ResidentBatches(store, "train", 48, 1, rows, augment, shuffle=False, center_xyz=given),
    ):
        for i in range(len(rows)):
            sample = found[i] if isinstance(found, HandDataset) else found.batch(np.array([i]), 0)
            for name, value in expected[i].items():
                assert np.array_equal(np.squeeze(sample[name]), np.squeeze(value), equal_nan=True), name  # type: ignore[literal-required, call-overload]  # keys of Sample
    lost = given.copy()
    lost[5] = np.nan
    assert 5 not in croppable_rows(Store(store), Store(store)["train"], center_xyz=lost)


# -- centres into a store --------------------------------------------------------------------------------------------


def test_localize_moves_centres_towards_the_truth_and_says_so(localizer: Path, tmp_path: Path) -> None:
    path = write_store(tmp_path / "copy.zarr")
    before = {name: Store(path)[name].center_xyz for name in ("train", "test")}
    result = call("localize", localizer, path, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["splits"]
    opened = Store(path)
    for name in ("train", "test"):
        split, true_xyz = opened[name], true_centers(path, name)
        assert split.center_method == "predicted:loc-1"
        attributes = split.attributes("center_xyz")
        assert len(attributes["center_sha256"]) == 64
        assert (attributes["center_from"], attributes["center_iterations"]) == ("com", 1)
        old, new = (np.linalg.norm(xyz - true_xyz, axis=1) for xyz in (before[name], split.center_xyz))
        good = np.arange(len(split)) != 2
        assert split.status[2] == FrameStatus.IMAGE_MISSING
        assert np.isnan(split.center_xyz[2]).all()
        assert (split.status[good] == FrameStatus.OK).all()
        assert told[name]["before"]["mean"] == pytest.approx(old[good].mean(), abs=1e-3)
        assert told[name]["after"]["median"] == pytest.approx(np.median(new[good]), abs=1e-3)
        assert told[name]["localized"] == len(split) - 1
        assert new[good].mean() < 0.6 * old[good].mean()
    refused(call("localize", localizer, path), "split train are predicted:loc-1 already; put others there first")


def test_localize_one_split_twice_over(localizer: Path, tmp_path: Path) -> None:
    path = write_store(tmp_path / "copy.zarr")
    options = ["--split", "test", "--iterations", 2, "--model", "mine", "--device", "cpu", "--batch-size", 2]
    result = call("localize", localizer / "best.safetensors", path, *options)
    assert result.exit_code == 0, result.output
    assert "test: 5 of 6 frames, predicted:mine in the place of com; from the mean of the true joints" in result.stdout
    opened = Store(path)
    assert (opened["train"].center_method, opened["test"].center_method) == ("com", "predicted:mine")
    assert opened["test"].attributes("center_xyz")["center_iterations"] == 2


def test_a_centre_that_leaves_the_image_is_told(
    localizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_store(tmp_path / "copy.zarr")
    away = {0: (0.0, 0.0, -50.0), 1: (9000.0, 0.0, 600.0), 3: (0.0, 0.0, 2000.0)}

    def lead_astray(model: object, loader: object, box: HandBox[Array], *args: object) -> Array:
        found = box.center_xyz[:, None].copy()
        rows = [0, 1, 3, 4, 5]
        for row, xyz in away.items():
            found[rows.index(row), 0] = xyz
        return found

    monkeypatch.setattr("handbench.srn.localizer.predict_xyz", lead_astray)
    result = call("localize", localizer, path, "--split", "test", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "2 outside the image; 1 with no depth in their box" in result.stdout
    outside, ok, empty = FrameStatus.OUTSIDE_IMAGE, FrameStatus.OK, FrameStatus.BOX_EMPTY
    assert_array_equal(Store(path)["test"].status, [outside, outside, FrameStatus.IMAGE_MISSING, empty, ok, ok])


def test_localize_warns_of_other_data_and_other_centres(localizer: Path, tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "icvl.zarr", spec=dataset("icvl"), train=0)
    result = call("localize", localizer, path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "loc-1 was trained on nyu" in result.stderr
    assert "trained on crops about com centres, those of split test are gt-mean" in result.stderr.replace("\n", " ")


def test_a_store_without_labels_gets_centres_and_no_distances(localizer: Path, tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "unlabelled.zarr", train=0, labelled=False)
    result = call("localize", localizer, path, "--json", "--device", "cpu")
    told = json.loads(result.stdout)["splits"]["test"]
    assert (told["before"], told["after"], told["localized"]) == (None, None, 6)


def test_stopped_before_the_writing_the_store_is_as_it_was(
    localizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_store(tmp_path / "copy.zarr")
    before = Store(path)["train"].center_xyz

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handbench.srn.localize.replace_centers", interrupt)
    result = call("localize", localizer, path, "--device", "cpu")
    assert result.exit_code == 130
    assert "has the centres it had" in result.stderr
    assert_array_equal(Store(path)["train"].center_xyz, before)


# -- the switch ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def localized(localizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store after `handbench localize`."""
    path = write_store(tmp_path_factory.mktemp("localized") / "tiny.zarr")
    assert call("localize", localizer, path, "--device", "cpu").exit_code == 0
    return path


def test_train_and_test_localisation_equals_a_localised_store(
    store: Path, localized: Path, localizer: Path, tmp_path: Path
) -> None:
    """Bit for bit: weights, validation error and predictions, whichever way the centres come."""
    on, off = tmp_path / "on", tmp_path / "off"
    log = train(store, RunFolder(on), srn_config(localizer, "train+test"), CPU)
    reference = train(localized, RunFolder(off), load_config("paper-nyu", sets=SRN), CPU)
    assert [epoch.loss for epoch in log] == [epoch.loss for epoch in reference]
    assert log[-1].validation_error_mm == reference[-1].validation_error_mm
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    assert call("predict", on, store, "-o", a, "--device", "cpu").exit_code == 0
    assert call("predict", off, localized, "-o", b, "--device", "cpu").exit_code == 0
    found, expected = read_predictions(a, 14), read_predictions(b, 14)
    assert_array_equal(found.uvd, expected.uvd)
    assert found.provenance["center_method"] == expected.provenance["center_method"] == "predicted:loc-1"
    card = read_card(on / "last.safetensors")
    assert card.center_method == "predicted:loc-1"
    assert card.localizer is not None
    assert card.localizer["sha256"] == Store(localized)["test"].attributes("center_xyz")["center_sha256"]


def test_test_localisation_trains_about_the_centres_of_the_store(store: Path, localizer: Path, tmp_path: Path) -> None:
    on, off = tmp_path / "on", tmp_path / "off"
    log = train(store, RunFolder(on), srn_config(localizer, "test"), CPU)
    reference = train(store, RunFolder(off), load_config("paper-nyu", sets=SRN), CPU)
    assert [epoch.loss for epoch in log] == [epoch.loss for epoch in reference]
    assert log[-1].validation_error_mm != reference[-1].validation_error_mm
    assert read_card(on / "last.safetensors").center_method == "com"
    a = tmp_path / "a.npz"
    assert call("predict", on, store, "-o", a, "--device", "cpu").exit_code == 0
    assert read_predictions(a, 14).provenance["center_method"] == "predicted:loc-1"


def test_nothing_held_out_is_nothing_to_localise(store: Path, localizer: Path, tmp_path: Path) -> None:
    config = srn_config(localizer, "test", "data.validation_fraction=0", "optim.epochs=1")
    assert train(store, RunFolder(tmp_path / "run"), config, CPU)[0].validation_error_mm is None


def test_a_run_is_whole_by_itself(store: Path, localizer: Path, tmp_path: Path) -> None:
    """It goes on and predicts when the localiser it was given is gone, and not with another in its place."""
    moved, run, out = tmp_path / "loc", tmp_path / "run", tmp_path / "p.npz"
    moved.mkdir()
    (moved / "last.safetensors").write_bytes((localizer / "last.safetensors").read_bytes())
    train(store, RunFolder(run), srn_config(moved, "train+test", "optim.epochs=1"), CPU)
    (moved / "last.safetensors").unlink()
    resumed = call("train", store, "--out", run, "--resume", "--device", "cpu", "--set", "optim.epochs=2")
    assert resumed.exit_code == 0, resumed.output
    assert call("predict", run, store, "-o", out, "--device", "cpu").exit_code == 0
    assert read_predictions(out, 14).provenance["center_method"] == "predicted:loc"
    own = run / "localizer.safetensors"
    model, card = load_checkpoint(own, CPU)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    save_checkpoint(own, model, card)
    refused(call("predict", run, store, "-o", out, "--overwrite"), "is another localiser than the one that")
    own.unlink()
    refused(call("predict", run, store, "-o", out, "--overwrite"), "take the checkpoint in the folder of its run")


@pytest.fixture
def windows(store: Path, tmp_path: Path) -> Path:
    """The same frames as windows with 20 mm of room about the centres of mass."""
    source = Store(store)
    margin = Margin(translation_mm=(-20, 20))
    sizes = [
        Reach.of(source[name].center_xyz, source[name].cube, source.camera, margin).side(source.camera)
        for name in source.splits
    ]
    side = int(np.concatenate(sizes).max())
    facts = WindowFacts(side, margin.to_dict())
    writer = StoreWriter(tmp_path / "w.zarr", source.spec, source.camera, "", {"maker": "test"}, windows=facts)
    for name in source.splits:
        split = source[name]
        reach = Reach.of(split.center_xyz, split.cube, source.camera, margin)
        origin = reach.origins(side, source.camera)
        writer.create_split(name, len(split), (side, side))
        cut = [cut_window(split.depth(i), origin[i], side) for i in range(len(split))]
        writer.write_depth(name, np.stack(cut))
        columns = {column: getattr(split, column) for column in COLUMNS if column != "origin_uv"}
        there = {column: values for column, values in columns.items() if values is not None}
        writer.write_columns(name, {**there, "origin_uv": origin}, {"center_xyz": {"center_method": "com"}})
    writer.finish()
    return tmp_path / "w.zarr"


def test_frames_whose_new_box_leaves_the_window_are_left_out_and_told(
    windows: Path, localizer: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_xyz = "handbench.srn.localizer.predict_xyz"

    def shift(model: object, loader: object, box: HandBox[Array], *args: object) -> Array:
        """Every third frame goes 400 mm to the right, out of its window."""
        found = box.center_xyz[:, None].copy()
        found[::3, 0, 0] += 400
        return found

    still = ("augment.roll_deg=[0, 0]", "augment.scale=[1, 1]", "augment.translation_mm=[0, 0]", "optim.epochs=1")
    with monkeypatch.context() as patch:
        patch.setattr(predict_xyz, shift)
        train(windows, RunFolder(tmp_path / "run"), srn_config(localizer, "train+test", *still), CPU)
        told = capfd.readouterr().err
        assert "8 of 23 frames are left out: their box about the predicted centre leaves the image or window" in told
        predicted = call("predict", tmp_path / "run", windows, "-o", tmp_path / "p.npz", "--device", "cpu")
        assert predicted.exit_code == 0, predicted.output
        assert "3 of 6 frames have no usable image or centre" in predicted.stderr
    refused(call("localize", localizer, windows), "holds windows")


# -- what is refused -------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_one_line(store: Path, localizer: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "new"
    train(store, RunFolder(run), load_config("paper-nyu", sets=[*SRN, "optim.epochs=1"]), CPU)
    refused(call("localize", localizer, store, "--model", "two words"), "'two words' is no name of a model")
    refused(call("localize", run, store), "predicts 14 joints of nyu and no centre")
    refused(call("localize", tmp_path / "none", store), "there is no run")
    refused(call("localize", localizer, store, "--split", "val"), "has no split 'val', only train, test")
    refused(call("predict", localizer, store, "-o", tmp_path / "p.txt"), "`handbench localize` puts its centres")
    refused(call("train-localizer", store, "--out", out, "--preset", "quick"), "here it must be 'center'")
    both = ["--set", "data.localization=test"]
    refused(call("train-localizer", store, "--out", out, *both), "learns from the centres of the store")
    need = ["train", store, "--out", out, "--device", "cpu", *set_options(*SRN)]
    refused(call(*need, *both), "which needs data.localizer: the folder of a")
    refused(call(*need, *both, "--set", f"data.localizer={run}"), "predicts 14 joints of nyu and no centre")
    refused(call(*need, *both, "--set", f"data.localizer={tmp_path / 'none'}"), "there is no run")
    refused(call(*need, "--set", "data.localization=train"), "known are off, test, train+test")
    assert not out.exists()


def test_a_localiser_that_has_seen_an_excluded_subject_is_refused(store: Path, localizer: Path, tmp_path: Path) -> None:
    subjects = write_store(tmp_path / "subjects.zarr")
    column = zarr.open_array(str(subjects / "train" / "subject"), mode="r+")
    column[...] = np.array([f"P{row // 12}" for row in range(24)], dtype=object)
    config = srn_config(localizer, "train+test", 'data.exclude_subjects=["P1"]')
    with pytest.raises(HandbenchError, match="has learnt from subject P1, which this run leaves out"):
        train(subjects, RunFolder(tmp_path / "run"), config, CPU)
