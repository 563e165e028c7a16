"""`handbench synth --direct --windows`: the store that `--direct` and then `handbench windows` make."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from handbench.cli import main
from handbench.converters import journal, windows
from handbench.converters.compare import compare
from handbench.converters.synth_windows import synthetic_windows
from handbench.converters.windows import WindowsConfig
from handbench.store import FrameStatus, Store, writer
from handbench.synth.config import NAMES, SynthConfig

FRAMES = ("--frames", "20", "--test-frames", "3", "--key-frames", "1", "--seed", "5")
OF_MSRA = ("--frames", "20", "--key-frames", "1", "--seed", "5")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def files_of(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def depth_of(store: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(store).items() if "/depth/c/" in name}


def both_ways(folder: Path, name: str, frames: tuple[str, ...], cut: tuple[Any, ...]) -> tuple[Result, Result]:
    """`once.zarr` made at once, `twice.zarr` cut out of the store `frames.zarr`; what was said."""
    once = run("synth", name, folder / "once.zarr", *frames, "--direct", "--windows", *cut)
    run("synth", name, folder / "frames.zarr", *frames, "--direct")
    return once, run("windows", folder / "frames.zarr", folder / "twice.zarr", *cut)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_store_that_two_commands_make(name: str, tmp_path: Path) -> None:
    said, before = both_ways(tmp_path, name, OF_MSRA if name == "msra" else FRAMES, ())
    assert said.exit_code == before.exit_code == 0, said.output
    assert said.stdout.replace("once", "twice") == before.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"frames.zarr", "once.zarr", "twice.zarr"}
    once, twice = Store(tmp_path / "once.zarr"), Store(tmp_path / "twice.zarr")
    assert compare(once, twice).differences == []
    assert once.codec == twice.codec
    assert depth_of(once.path) == depth_of(twice.path)
    assert len(depth_of(once.path)) == len(once.splits)
    assert {**once.provenance, "windows": 0} == {**twice.provenance, "windows": 0}
    assert once.provenance["windows"]["source"] == "rendered"
    assert {**once.provenance["windows"], "source": 0} | {"sha256": 0} == {
        **twice.provenance["windows"],
        "source": 0,
        "sha256": 0,
    }


def test_the_options_of_windows_mean_the_same(tmp_path: Path) -> None:
    cut = ("--margin", "quick", "--set", "augment.scale=[0.7,1.3]", "--side", 300)
    said, before = both_ways(tmp_path, "nyu", (*FRAMES, "--distance", "450", "500"), cut)
    once, twice = Store(tmp_path / "once.zarr"), Store(tmp_path / "twice.zarr")
    assert compare(once, twice).differences == []
    assert once.windows is not None
    assert once.windows.side == 300
    assert once.windows.margin["scale"] == [0.7, 1.3]
    assert once.windows.beyond["train"] == 20
    assert "train: 20 frames reach beyond their window" in said.stderr
    assert said.stderr.splitlines()[1:] == before.stderr.splitlines()


def test_frames_that_the_sensor_sees_nothing_of_get_their_status(tmp_path: Path) -> None:
    frames = (*FRAMES, "--distance", "500", "1500", "--background", "empty")
    said, before = both_ways(tmp_path, "hands17", frames, ())
    assert said.exit_code == 1
    once, twice = Store(tmp_path / "once.zarr"), Store(tmp_path / "twice.zarr")
    assert compare(once, twice).differences == []
    status = once["train"].status
    assert 0 < (status == FrameStatus.BOX_EMPTY).sum() < len(status)
    assert f"{(status == FrameStatus.BOX_EMPTY).sum()} box empty" in said.stdout
    assert before.exit_code == 0


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_every_scheduler_gives_the_same_bytes(tmp_path: Path, scheduler: str) -> None:
    config = SynthConfig("icvl", 140, 4)  # two shards
    synthetic_windows(config, tmp_path / "a.zarr", WindowsConfig(workers=1))
    synthetic_windows(config, tmp_path / "b.zarr", WindowsConfig(workers=2, scheduler=scheduler))
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


def test_interrupted_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (windows, writer):
        monkeypatch.setattr(module, "SHARD_FRAMES", 4)
    arguments = (*OF_MSRA, "--distance", "350", "500", "--direct", "--windows", "--workers", "1")
    assert run("synth", "msra", tmp_path / "whole.zarr", *arguments).exit_code == 0
    work, done = windows.WindowTask.__call__, list[str]()

    def until_the_third(task: windows.WindowTask) -> int:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.entry.name)
        return work(task)

    def others(task: windows.WindowTask) -> int:
        assert task.entry.name not in done
        return work(task)

    monkeypatch.setattr(windows.WindowTask, "__call__", until_the_third)
    stopped = run("synth", "msra", tmp_path / "out.zarr", *arguments)
    assert stopped.exit_code == 130
    assert "stopped; 8 of 20 frames are done" in stopped.stderr
    assert not (tmp_path / "out.zarr").exists()
    assert issubclass(journal.Interrupted, KeyboardInterrupt)
    monkeypatch.setattr(windows.WindowTask, "__call__", others)
    assert "pass --resume" in run("synth", "msra", tmp_path / "out.zarr", *arguments).stderr
    other = run("synth", "msra", tmp_path / "out.zarr", *arguments, "--resume", "--margin", "none")
    assert "begun with other options" in other.stderr
    assert run("synth", "msra", tmp_path / "out.zarr", *arguments, "--resume").exit_code == 0
    assert files_of(tmp_path / "out.zarr") == files_of(tmp_path / "whole.zarr")


def test_a_store_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    arguments = ("synth", "msra", tmp_path / "w.zarr", "--frames", "2", "--direct", "--windows")
    assert run(*arguments).exit_code == 0
    before = files_of(tmp_path / "w.zarr")
    refused = run(*arguments, "--seed", "1")
    assert (refused.exit_code, "w.zarr exists already" in refused.stderr) == (2, True)
    assert files_of(tmp_path / "w.zarr") == before
    assert run(*arguments, "--seed", "1", "--overwrite").exit_code == 0
    assert files_of(tmp_path / "w.zarr") != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--windows",), "--windows makes a store, and a raw tree has whole frames; add --direct"),
        (("--direct", "--margin", "quick"), "--margin would do nothing: it is about windows"),
        (("--direct", "--side", "9", "--set", "augment.scale=[1,2]"), "--set, --side would do nothing"),
        (("--direct", "--windows", "--margin", "papr"), "'papr' is neither a file nor one of none, "),
        (("--direct", "--windows", "--side", "0"), "--side 0 px holds nothing"),
        (("--direct", "--windows", "--margin", "none", "--set", "augment.scale=[1,2]"), "has no ranges to set"),
        (("--direct", "--windows", "--workers", "-1"), "-1 workers cannot be"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run("synth", "nyu", tmp_path / "out", "--frames", "3", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
