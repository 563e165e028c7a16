"""The folder of a run, what its files say, and when it is gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.testing import assert_array_equal
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # has no types

from handbench import __version__
from handbench.cli import main
from handbench.errors import HandbenchError
from handbench.predictions import read_predictions
from handbench.preprocess import HandBox
from handbench.srn.checkpoint import read_card
from handbench.srn.config import load_config
from handbench.srn.facts import cube_rule, versions
from handbench.srn.run import RunFolder, resolve_config
from handbench.srn.sheet import PREDICTED, TRUE, Watched, draw_sheet
from handbench.store import Store
from handbench.store.edit import NewCenters, replace_centers
from handbench.store.fingerprint import fingerprint
from tests.tiny_store import write_tiny_store

SETS = (
    *("model.backbone=small", "model.stages=1", "model.crop_size=48"),
    *("optim.batch_size=8", "optim.epochs=2", "data.cache=true"),
)
OPTIONS = ("--device", "cpu", *(part for text in SETS for part in ("--set", text)))


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr")


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    result = call("train", store, "--out", out, *OPTIONS, "--resume", "auto")  # starts: there is none
    assert result.exit_code == 0, result.output
    return out


def test_resume_auto_starts_goes_on_and_is_done(store: Path, run: Path, tmp_path: Path) -> None:
    again = call("train", store, "--out", run, *OPTIONS, "--resume", "auto")
    assert again.exit_code == 0, again.output
    assert "epoch 1/2" not in again.stderr
    empty = tmp_path / "run"
    empty.mkdir()
    assert call("train", store, "--out", empty, *OPTIONS, "--resume", "auto").exit_code == 0
    assert (empty / "last.safetensors").is_file()


def test_resume_with_the_same_options_as_at_the_start_is_no_change(run: Path) -> None:
    folder = RunFolder(run)
    began = load_config(file=folder.config)
    assert resolve_config(folder, None, None, SETS, "auto", False) == (began, True)
    assert resolve_config(folder, "paper-nyu", None, SETS, "required", False) == (began, True)
    assert resolve_config(folder, None, folder.config, (), "required", False) == (began, True)
    more, go_on = resolve_config(folder, "paper-nyu", None, (*SETS, "optim.epochs=9"), "auto", False)
    assert (more.optim.epochs, go_on) == (9, True)


def test_a_changed_configuration_is_named_key_by_key(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(run)
    changed = (*SETS, "optim.lr=0.1", "augment.scale=[0.8,1.0]", "optim.epochs=3")
    with pytest.raises(HandbenchError) as caught:
        resolve_config(folder, None, None, changed, "auto", False)
    assert str(caught.value) == (
        f"{run} is a run with augment.scale = [0.9, 1.1], not [0.8, 1.0]; optim.lr = 0.3, not 0.1: --resume cannot "
        "change that, only optim.epochs, data.cache, data.workers, data.resident, compute.compile; start another run"
    )
    with pytest.raises(HandbenchError, match=r'backbone = "small", not "resnet18"; .* and \d+ keys more: --resume'):
        resolve_config(folder, "quick", None, (), "required", False)
    with pytest.raises(HandbenchError, match="goes on with a run and --overwrite starts it again; give one of them"):
        resolve_config(folder, None, None, (), "auto", True)
    with pytest.raises(HandbenchError, match="is not the folder of a run; leave out --resume to start one"):
        resolve_config(RunFolder(tmp_path), None, None, (), "required", False)
    assert resolve_config(RunFolder(tmp_path), None, None, (), "auto", False, "quick")[0] == load_config("quick")


def test_a_configuration_without_the_keys_of_later_versions_still_loads(run: Path, tmp_path: Path) -> None:
    old = [
        line for line in (run / "config.toml").read_text().splitlines() if not line.startswith(("precision", "comp"))
    ]
    (tmp_path / "config.toml").write_text("\n".join(line for line in old if line != "[compute]"))
    assert resolve_config(RunFolder(tmp_path), None, None, (), "required", False)[0] == load_config(
        file=run / "config.toml"
    )


def test_the_card_says_what_the_checkpoint_is(store: Path, run: Path) -> None:
    last, best = (read_card(run / f"{name}.safetensors") for name in ("last", "best"))
    assert (last.epoch_rule, best.epoch_rule) == ("last", "val")
    for card in (last, best):
        assert card.fingerprint == fingerprint(store)
        assert card.center_method == "gt-mean"
        assert card.cube_rule == "250 mm"
        assert card.store == Store(store).provenance
        assert card.versions == versions()
        assert card.config == load_config(file=run / "config.toml")
    assert last.versions["handbench"] == __version__
    assert last.versions["torch"] == torch.__version__.partition("+")[0]
    assert set(last.versions) == {"handbench", "torch", "torchvision", "numpy", "python"}


def test_model_info_prints_the_card(run: Path) -> None:
    shown = json.loads(call("model", "info", run / "last.safetensors", "--json").stdout)
    assert shown["epoch_rule"] == "last"
    assert shown["parameters"] == 219_162
    assert shown["versions"]["handbench"] == __version__
    assert shown["optim"]["epochs"] == 2
    assert shown["store"]["converter"] == "tiny_store"
    text = call("model", "info", run / "best.safetensors").stdout
    for line in (
        "epoch_rule           val",
        "center_method        gt-mean",
        "cube_rule            250 mm",
        "parameters           219,162",
        "compute              precision float32, compile false",
    ):
        assert line in text


def test_cards_of_the_format_before_still_load(run: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "old.safetensors", read_card(run / "last.safetensors")
    keys = ("config", "dataset", "joints", "store", "epoch", "validation_error_mm")
    table = {**{key: new.to_dict()[key] for key in keys}, "version": "0.0.9", "format": 1}
    del table["config"]["compute"]
    save_file(load_file(run / "last.safetensors"), path, metadata={"handbench": json.dumps(table)})
    expected = replace(new, epoch_rule=None, fingerprint=None, center_method=None, cube_rule=None)
    assert read_card(path) == replace(expected, versions={"handbench": "0.0.9"})
    assert "fingerprint          not stated" in call("model", "info", path).stdout


@pytest.mark.parametrize(("checkpoint", "rule"), [("last", "last"), ("best", "val")])
def test_predictions_carry_the_conditions_that_eval_shows(
    store: Path, run: Path, tmp_path: Path, checkpoint: str, rule: str
) -> None:
    out, scores = tmp_path / "SRN.npz", tmp_path / "scores"
    result = call("predict", run, store, "-o", out, "--checkpoint", checkpoint, "--device", "cpu")
    assert result.exit_code == 0, result.output
    provenance = read_predictions(out, 14).provenance
    assert provenance["epoch_rule"] == rule
    assert provenance["cube_rule"] == "250 mm"
    assert provenance["center_method"] == "gt-mean"
    result = call("eval", out, "--truth", store, "-o", scores)
    assert result.exit_code == 0, result.output
    (file,) = scores.glob("*.json")
    protocol = json.loads(file.read_text())["protocol"]
    found = {name: protocol[name] for name in ("center_method", "cube_rule", "epoch_rule", "ensemble")}
    assert found == {"center_method": "gt-mean", "cube_rule": "250 mm", "epoch_rule": rule, "ensemble": False}
    for line in ("centres of SRN: gt-mean", "cube of SRN: 250 mm", f"epoch of SRN: {rule}"):
        assert line in result.output


def test_a_store_without_centres_is_one_line(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "tiny.zarr")
    split = Store(path)["train"]
    nowhere = NewCenters(np.full((len(split), 3), np.nan), split.status, {"center_method": "com"})
    replace_centers(path, {"train": nowhere})
    result = call("train", path, "--out", tmp_path / "run", *OPTIONS)
    assert result.exit_code == 2
    assert "split train (24 frames) has no hand centres; `handbench centers compute` finds some" in result.stderr
    assert not (tmp_path / "run").exists()


def test_every_epoch_has_scalars_and_a_sheet_of_crops(run: Path) -> None:
    events = EventAccumulator(str(run), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        *("lr", "seconds", "loss/sum", "loss/stage_1", "validation/mean_error_mm"),
    }
    sheets = events.Images("crops")
    assert [sheet.step for sheet in sheets] == [1, 2]
    assert (sheets[0].width, sheets[0].height) == (2 * 192, 16 + 192 + 16)  # two held-out frames, crops of 48 px
    assert sheets[0].encoded_image_string != sheets[1].encoded_image_string


def watched(joint: tuple[float, float, float], frames: int = 1) -> Watched:
    """Crops of 64 px, 3.90625 mm a pixel at the centre's depth, with one bone from the centre to a joint."""
    center = np.tile([0.0, 0.0, 500.0], (frames, 1))
    box = HandBox(center, np.full((frames, 3), 250.0), np.zeros(frames))
    depth = np.ones((frames, 64, 64), np.float32)
    depth[:, :32] = 0.0
    true_xyz = center[:, None] + np.array([(0.0, 0.0, 0.0), joint])
    return Watched(depth, box, true_xyz, ((1, 0),), tuple(f"test/1/{i}" for i in range(frames)))


def at(sheet: np.ndarray, column: float, row: float) -> tuple[int, ...]:
    """The colour at a crop pixel: three times as large, below a caption of 16 px."""
    return tuple(sheet[16 + round(3 * row + 1), round(3 * column + 1)].tolist())


def test_skeletons_lie_where_the_box_says() -> None:
    """50 mm to the right is 12.8 px: from 31.5 to 44.3, half way 37.9. The prediction is 50 mm down."""
    one = watched((50.0, 0.0, 0.0))
    pred_xyz = one.true_xyz + np.array([0.0, 50.0, 0.0])
    sheet = draw_sheet(one, pred_xyz)
    assert sheet.shape == (16 + 192 + 16, 192, 3)
    assert at(sheet, 44.3, 31.5) == TRUE
    assert at(sheet, 44.3, 44.3) == PREDICTED
    assert at(sheet, 37.9, 44.3)[0] > 150
    assert at(sheet, 10, 10) == (150, 150, 150)
    assert at(sheet, 10, 50) == (0, 0, 0)


def test_joints_without_a_number_or_far_away_are_left_out() -> None:
    one = watched((50.0, 0.0, 0.0))
    blank = draw_sheet(one, np.full_like(one.true_xyz, np.nan))
    assert_array_equal(draw_sheet(one, one.true_xyz + np.array([9e9, 0, 0])), blank)
    assert at(blank, 44.3, 31.5) == TRUE


def test_a_sheet_has_four_columns_and_white_where_frames_end() -> None:
    five = watched((50.0, 0.0, 0.0), frames=5)
    sheet = draw_sheet(five, five.true_xyz)
    assert sheet.shape == (2 * (16 + 192) + 16, 4 * 192, 3)
    assert (sheet[16 + 192 + 16 : -16, 2 * 192 :] == 255).all()


def test_cubes_in_words() -> None:
    nyu = np.repeat([250.0, 250 * 5 / 6], [2440, 5812])[:, None] * np.ones(3)
    assert cube_rule(nyu) == "208.3 mm (5,812 frames), 250 mm (2,440 frames)"
    assert cube_rule(nyu[:3]) == "250 mm"
    assert cube_rule(np.array([[200.0, 200, 250]])) == "200 x 200 x 250 mm"
    assert cube_rule(np.arange(100.0, 110)[:, None] * np.ones(3)) == "10 sizes from 100 mm to 109 mm"
    assert cube_rule(np.full((2, 3), np.nan)) == "none"
