"""`handbench eval`, run as a user runs it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.datasets import dataset
from handbench.predictions import Predictions, write_predictions
from handbench.scores import read_scores

DATASETS = {"nyu": 9, "icvl": 7}


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, args)])


def results(*args: object) -> list[dict[str, Any]]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout)["results"])


def refusal(*args: object) -> str:
    """The one line that a user's mistake gets."""
    result = CliRunner().invoke(main, ["eval", *map(str, args)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def uvd_of(name: str, frames: int, offset: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """(N, J, 3) labels of a data set, made up, moved by so many mm."""
    spec = dataset(name)
    xyz = np.random.default_rng(0).uniform(-90, 90, (frames, len(spec.joints.scored), 3)) + np.array([0.0, 0.0, 400.0])
    return xyz_to_uvd(xyz + np.array(offset), spec.scoring_camera)


def text(path: Path, uvd: np.ndarray) -> Path:
    np.savetxt(path, uvd.reshape(len(uvd), -1), fmt="%.9f")
    return path


@pytest.fixture(scope="module")
def icvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up labels of ICVL's test set and one prediction of it, 5 mm off everywhere."""
    folder = tmp_path_factory.mktemp("icvl")
    text(folder / "labels.txt", uvd_of("icvl", 1596))
    text(folder / "Five.txt", uvd_of("icvl", 1596, (3, -4, 0)))
    return folder


@pytest.mark.parametrize("name", DATASETS)
def test_every_published_file_scores_what_was_published(real: Path, name: str) -> None:
    expected = json.loads((real / "expected.json").read_text())[name]
    files = sorted((real / name / "predictions").glob("*.txt"))
    assert len(files) == len(expected) == DATASETS[name]
    for scored in results(*files, "--truth", real / name / "groundtruth.txt", "--dataset", name):
        for key, value in expected[scored["name"]].items():
            if isinstance(value, dict):
                assert {t: round(scored[key][t], 3) for t in value} == value, (scored["name"], key)
            elif isinstance(value, list):
                assert [round(v, 3) for v in scored[key]] == value, (scored["name"], key)
            else:
                assert round(scored[key], 3) == value, (scored["name"], key)


def test_sequence_1_alone_is_scored_on_sequence_1(real: Path, tmp_path: Path) -> None:
    whole = real / "icvl" / "predictions" / "LRF.txt"  # CR LF and trailing blanks
    short = tmp_path / "LRF.txt"
    short.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:702]))
    truth = ("--truth", real / "icvl" / "groundtruth.txt", "--dataset", "icvl")
    (alone,) = results(short, *truth)
    assert alone["frames"] == 702
    assert alone["protocol"]["name"] == "icvl/seq1-16j"
    assert alone["mean_error_mm_by_sequence"] == {"test_seq_1": alone["mean_error_mm"]}
    assert round(alone["mean_error_mm"], 3) == 12.629
    (both,) = results(whole, *truth)
    assert both["groups"]["test_seq_1"]["max_frame_success_percent"] == alone["max_frame_success_percent"]


def test_the_table_ranks_and_says_what_was_measured(icvl: Path, tmp_path: Path) -> None:
    worse = text(tmp_path / "Ten.txt", uvd_of("icvl", 1596, (6, -8, 0)))
    result = run(worse, icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl")
    assert result.exit_code == 0
    out = result.stdout
    assert out.index("Five") < out.index("Ten")
    assert "10.000" in out
    assert "protocol icvl/seq1+2-16j: 1,596 frames, 16 joints" in out
    assert "intrinsics fx 240.99, fy 240.96, cx 160, cy 120 px" in out
    assert "labels labels.txt (sha256 " in out
    assert "test_seq_2" in out


def test_no_number_is_cut_on_a_narrow_terminal(icvl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = run(icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl").stdout
    assert "…" not in out
    assert "sequence test_seq_2" in out


def test_results_of_two_protocols_are_two_tables(icvl: Path, tmp_path: Path) -> None:
    short = text(tmp_path / "Short.txt", uvd_of("icvl", 1596)[:702])
    out = run(short, icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl").stdout
    assert "protocol icvl/seq1-16j: 702 frames" in out
    assert "protocol icvl/seq1+2-16j: 1,596 frames" in out


def test_scores_files_hold_what_the_json_says(icvl: Path, tmp_path: Path) -> None:
    args = (icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl")
    out = tmp_path / "scores"
    assert run(*args, "-o", out).exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["Five.frames.npz", "Five.scores.json"]
    scores = read_scores(out / "Five.scores.json")
    (printed,) = results(*args)
    assert {key: value for key, value in printed.items() if key != "published"} == scores.to_dict()
    assert scores.conditions.center_method is None
    assert scores.truth["kind"] == "text"
    assert scores.prediction["file"] == "Five.txt"
    assert len(scores.prediction["sha256"]) == 64
    assert "Five.scores.json exists already" in refusal(*args, "-o", out)
    assert run(*args, "-o", out, "--overwrite").exit_code == 0


def test_nothing_is_written_when_one_file_is_bad(icvl: Path, tmp_path: Path) -> None:
    bad = text(tmp_path / "Bad.txt", uvd_of("icvl", 100))
    refusal(icvl / "Five.txt", bad, "--truth", icvl / "labels.txt", "--dataset", "icvl", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_an_unpublished_length_are_scored_without_groups(tmp_path: Path) -> None:
    labels = text(tmp_path / "labels.txt", uvd_of("icvl", 10))
    (scored,) = results(text(tmp_path / "A.txt", uvd_of("icvl", 10)), "--truth", labels, "--dataset", "icvl")
    assert scored["frames"] == scored["protocol"]["frames"] == 10
    assert scored["groups"] == {}


def test_a_line_too_few(real: Path, tmp_path: Path) -> None:
    lines = (real / "nyu" / "predictions" / "SRN.txt").read_bytes().splitlines(keepends=True)
    short = tmp_path / "SRN.txt"
    short.write_bytes(b"".join(lines[:-1]))
    message = refusal(short, "--truth", real / "nyu" / "groundtruth.txt", "--dataset", "nyu")
    assert "SRN has 8,251 frames, expected 8,252 (protocol nyu/view1-14j" in message
    assert "2,440 for subject 1 (frames 1-2440) alone" in message


def test_a_length_that_is_known_is_named(icvl: Path, tmp_path: Path) -> None:
    long = text(tmp_path / "Train.txt", np.ones((22068, 16, 3)))
    message = refusal(long, "--truth", icvl / "labels.txt", "--dataset", "icvl")
    assert "22,068 is the length of the train split of ICVL Hand Posture, release originals" in message


def test_41_numbers_in_one_line(real: Path, tmp_path: Path) -> None:
    lines = (real / "nyu" / "predictions" / "SRN.txt").read_text().splitlines()
    lines[4711] = " ".join(lines[4711].split()[:41])
    bad = tmp_path / "SRN.txt"
    bad.write_text("\n".join(lines))
    message = refusal(bad, "--truth", real / "nyu" / "groundtruth.txt", "--dataset", "nyu")
    assert "line 4712: 41 numbers, expected 42 (14 joints x 3)" in message


def test_predictions_of_another_data_set(icvl: Path, tmp_path: Path) -> None:
    nyu = text(tmp_path / "SRN.txt", uvd_of("nyu", 20))
    assert "42 numbers, expected 48" in refusal(nyu, "--truth", icvl / "labels.txt", "--dataset", "icvl")


def test_published_xyz_is_read_as_such_and_the_table_says_so(real: Path, tmp_path: Path) -> None:
    named = (real / "nyu" / "other_layouts" / "DenseReg_named_xyz.txt").read_text().splitlines()
    xyz = tmp_path / "DenseReg.txt"
    xyz.write_text("\n".join(line.split("\t", 1)[1] for line in named))
    args = (xyz, "--truth", real / "nyu" / "groundtruth.txt", "--dataset", "nyu")
    (scored,) = results(*args)
    assert scored["mean_error_mm"] == pytest.approx(10.214, abs=0.01)  # what its uvd twin scores
    assert "xyz" in scored["prediction"]["read_as"]
    assert re.search(r"read as xyz.*: DenseReg", run(*args).stdout)


def test_nan_where_a_label_is(icvl: Path, tmp_path: Path) -> None:
    uvd = uvd_of("icvl", 1596)
    uvd[41] = np.nan
    message = refusal(text(tmp_path / "A.txt", uvd), "--truth", icvl / "labels.txt", "--dataset", "icvl")
    assert "A has no prediction (nan) for the frame line 42 with labels, there for joint Palm" in message


def test_files_that_cannot_be_scored(icvl: Path, tmp_path: Path) -> None:
    truth = ("--truth", icvl / "labels.txt", "--dataset", "icvl")
    (tmp_path / "Empty.txt").write_bytes(b"")
    (tmp_path / "Binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "Word.txt").write_bytes(b"1 2 three\n")
    assert "Empty.txt is empty" in refusal(tmp_path / "Empty.txt", *truth)
    assert "Binary.txt is a binary file" in refusal(tmp_path / "Binary.txt", *truth)
    assert "Word.txt, line 1: 'three' is not a number" in refusal(tmp_path / "Word.txt", *truth)
    assert "No such file" in refusal(tmp_path / "Missing.txt", *truth)
    assert "would both be called Five; rename one" in refusal(icvl / "Five.txt", tmp_path / "Five.npz", *truth)


def test_truths_that_cannot_be_used(icvl: Path, tmp_path: Path) -> None:
    pred = icvl / "Five.txt"
    assert "pass --dataset" in refusal(pred, "--truth", icvl / "labels.txt")
    assert "unknown data set 'xyz'" in refusal(pred, "--truth", icvl / "labels.txt", "--dataset", "xyz")
    assert "No such file" in refusal(pred, "--truth", tmp_path / "none.txt", "--dataset", "icvl")
    assert "leave --split out" in refusal(pred, "--truth", icvl / "labels.txt", "--dataset", "icvl", "--split", "test")
    blank = text(tmp_path / "blank.txt", np.full((3, 16, 3), np.nan))
    assert "can be scored" in refusal(pred, "--truth", blank, "--dataset", "icvl")
    assert "is a file; -o names a folder" in refusal(
        pred, "--truth", icvl / "labels.txt", "--dataset", "icvl", "-o", pred
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of NYU with five test frames: two subjects, one image missing, one frame without labels."""
    from handbench.store import FrameStatus
    from handbench.store.writer import StoreWriter

    spec = dataset("nyu")
    frames = 5
    joints_xyz = np.full((frames, len(spec.joints), 3), np.nan, np.float32)
    joints_xyz[:, list(spec.joints.scored)] = store_hands()
    joints_xyz[3] = np.nan
    path = tmp_path_factory.mktemp("store") / "nyu.zarr"
    writer = StoreWriter(path, spec, spec.camera, "", {})
    writer.create_split("test", frames, (480, 640))
    columns: dict[str, np.ndarray] = {
        "frame_key": np.array([f"test/1/{i:07d}" for i in range(1, 6)]),
        "subject": np.array(["1", "1", "1", "2", "2"]),
        "sequence": np.array([""] * frames),
        "view": np.ones(frames, np.uint8),
        "joints_xyz": joints_xyz,
        "center_xyz": np.zeros((frames, 3), np.float32),
        "cube": np.full((frames, 3), 250, np.float32),
        "status": np.array([0, FrameStatus.IMAGE_MISSING, 0, 0, 0], np.uint8),
    }
    writer.write_columns("test", columns, {"center_xyz": {"center_method": "com"}})
    writer.finish()
    return path


def store_hands() -> np.ndarray:
    """(5, 14, 3) float32 mm."""
    xyz = np.random.default_rng(2).uniform(-90, 90, (5, 14, 3)) + np.array([0.0, 0.0, 700.0])
    hands: np.ndarray = xyz.astype(np.float32)
    return hands


def store_predictions() -> Predictions:
    """5 mm off, in another order, without the frame whose image is missing."""
    spec = dataset("nyu")
    uvd = xyz_to_uvd(store_hands().astype(np.float64) + np.array([0.0, -3.0, 4.0]), spec.camera)
    order = [4, 2, 0, 3]
    keys = tuple(f"test/1/{i + 1:07d}" for i in order)
    return Predictions("Mine", uvd[order], keys, {"center_method": "com"})


def test_a_store_as_truth_joins_by_key_and_names_what_it_leaves_out(store: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "Mine.npz", store_predictions())
    (scored,) = results(tmp_path / "Mine.npz", "--truth", store)
    assert scored["frames"] == 3
    assert scored["mean_error_mm"] == pytest.approx(5, abs=1e-4)
    assert scored["left_out"] == {"image missing": ["test/1/0000002"], "no label": ["test/1/0000004"]}
    assert scored["protocol"]["groups"] == [["1", 2], ["2", 1]]
    assert set(scored["mean_error_mm_by_subject"]) == {"1", "2"}
    assert scored["camera"]["fx"] == 588.036865
    assert scored["center_method"] == "com"
    out = run(tmp_path / "Mine.npz", "--truth", store).stdout
    assert "left out 1 frame, image missing: test/1/0000002" in out
    assert "labels store nyu.zarr, split test" in out


def test_text_is_joined_to_a_store_by_line(store: Path, tmp_path: Path) -> None:
    uvd = xyz_to_uvd(store_hands().astype(np.float64) + np.array([0.0, 0.0, 5.0]), dataset("nyu").camera)
    uvd[1] = np.nan  # its image is missing, so nobody can have predicted it
    (scored,) = results(text(tmp_path / "Mine.txt", uvd), "--truth", store, "--dataset", "nyu")
    assert scored["prediction"]["joined_by"] == "line"
    assert scored["mean_error_mm"] == pytest.approx(5, abs=1e-4)
    assert "Mine has 4 frames, expected 5" in refusal(text(tmp_path / "Mine.txt", uvd[:4]), "--truth", store)


def test_a_store_of_another_data_set_or_without_the_split(store: Path, icvl: Path) -> None:
    assert "is a store of nyu, not of icvl" in refusal(icvl / "Five.txt", "--truth", store, "--dataset", "icvl")
    assert "no split 'train'" in refusal(icvl / "Five.txt", "--truth", store, "--split", "train")
    assert "is not a Zarr group" in refusal(icvl / "Five.txt", "--truth", icvl)


def test_seen_unseen_and_avg(icvl: Path, tmp_path: Path) -> None:
    names = tmp_path / "subjects.txt"
    names.write_text("seen\n" * 702 + "unseen\n" * 894)
    args = (icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl")
    out = run(*args, "--by", f"seen={names}").stdout
    assert re.search(r"SEEN.*UNSEEN.*AVG", out)
    (scored,) = results(*args, "--by", f"seen={names}")
    assert scored["breakdowns"]["seen"]["unseen"]["frames"] == 894
    assert "is not of the form KIND=FILE" in refusal(*args, "--by", "seen")
    assert "cannot read none.txt" in refusal(*args, "--by", "seen=none.txt")
    names.write_text("seen\n")
    assert "has 1 lines, but the labels have 1,596 frames" in refusal(*args, "--by", f"seen={names}")
    names.write_bytes(b"\xff" * 9)
    assert "is not a text" in refusal(*args, "--by", f"seen={names}")


def test_marks_and_footnotes_of_what_is_stated(icvl: Path) -> None:
    args = (icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl")
    out = run(*args, "--center-method", "gt-mean", "--epoch-rule", "val", "--ensemble").stdout
    assert "Five †§" in out
    assert "† hand centres that rest on the truth: does not rank on equal terms with rows without †" in out
    assert "epoch of Five: val" in out
    assert "not stated for all: cube" in out
    assert "epoch rule 'best' is none of last, val, test-best" in refusal(*args, "--epoch-rule", "best")


def test_details_print_fingers_axes_and_bones(icvl: Path) -> None:
    out = run(icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl", "--details").stdout
    assert re.search(r"finger thumb.*5\.000", out)
    assert re.search(r"x: bias, absolute.*\+3\.000, 3\.000", out)
    assert re.search(r"y: bias, absolute.*-4\.000, 4\.000", out)
    assert re.search(r"bone length: bias, absolute.*[+-]0\.000, 0\.000", out)


def test_a_method_gets_its_place_among_published_results(icvl: Path) -> None:
    args = (icvl / "Five.txt", "--truth", icvl / "labels.txt", "--dataset", "icvl")
    (scored,) = results(*args)
    assert scored["published"]["rank"] == 2  # 5 mm: above the best file of one method with true centres, 4.77
    assert scored["published"]["ahead"] == ["VirtualView (best file)"]
    assert f"2 of {scored['published']['of']}" in run(*args).stdout
