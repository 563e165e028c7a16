"""A conversion that is killed (SIGKILL, no clean-up) at any moment can be gone on with, and loses no older store.

Two ways to choose the moment: by the clock, and before a certain change of the file system, which hits also the steps
that take no time.
"""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]  # it has no types
import pytest

from handbench.converters import convert as conversion
from handbench.converters.convert import ConvertConfig
from handbench.converters.nyu import NyuReader
from handbench.errors import HandbenchError
from handbench.store import Store, writer
from tests.raw import nyu

pytestmark = pytest.mark.slow

FRAMES = {"train": 3, "test": 7}
SHARD = 2  # frames; so 6 shards
MOMENTS, TIMES = 20, 5
LAST_CHANGES = range(-14, 1)
"""Counted back from the last change of the file system: consolidation, removal of the journal, change of places."""
SERVER = multiprocessing.get_context("forkserver")  # a process with all imported, whose children begin at once
SERVER.set_forkserver_preload(["dask.callbacks", "zarr", "handbench.converters.nyu", __name__])


def convert_until(fatal: int, raw: Path, out: Path, overwrite: bool, wire: Connection) -> None:
    """What the other process does: convert, and die before its change of the file system of that number.

    New folders do not count: Zarr's threads ask for the same ones, now once, now twice.
    """
    changes = 0
    sys.dont_write_bytecode = True  # which would be changes of the first process alone

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal changes
        opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if opened or event in ("os.rename", "os.remove", "os.rmdir"):
            changes += 1
            if changes == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    for module in (conversion, writer):
        vars(module)["SHARD_FRAMES"] = SHARD
    wire.send("ready")
    wire.recv()
    sys.addaudithook(count)
    config = ConvertConfig(codec="shuffle", workers=1, overwrite=overwrite)
    conversion.convert(NyuReader(raw), out, config)
    wire.send(changes)


class Victim:
    """Another process that converts.

    Args:
        raw: the raw tree.
        out: the store to make.
        overwrite: whether an older one is replaced.
        fatal: the change of the file system, from 1, before which it kills itself; 0 for never.
    """

    def __init__(self, raw: Path, out: Path, overwrite: bool = False, fatal: int = 0) -> None:
        self.wire, theirs = SERVER.Pipe()
        self.process = SERVER.Process(target=convert_until, args=(fatal, raw, out, overwrite, theirs))
        self.process.start()
        theirs.close()
        assert self.wire.recv() == "ready"

    def begin(self) -> None:
        self.wire.send("go")

    def changes(self) -> int:
        """Let it end; how often it changed the file system."""
        changes: int = self.wire.recv()
        self.process.join(60)
        assert self.process.exitcode == 0
        return changes

    def is_killed(self) -> bool:
        """Wait for its end; whether that was by SIGKILL."""
        self.process.join(60)
        self.wire.close()
        return self.process.exitcode == -signal.SIGKILL


@dataclass(frozen=True)
class Undisturbed:
    """A conversion that nobody killed: its raw tree, the files of its store, how long it took, what it wrote."""

    raw: Path
    files: dict[str, bytes]
    seconds: float
    changes: int


def files_of(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("whole")
    nyu.write_tree(folder / "raw", FRAMES)
    (folder / "raw" / "test" / "depth_1_0000005.png").unlink()
    victim = Victim(folder / "raw", folder / "s.zarr")
    victim.begin()
    start = time.perf_counter()
    changes = victim.changes()
    seconds = time.perf_counter() - start
    assert len(Store(folder / "s.zarr")["test"]) == FRAMES["test"]
    return Undisturbed(folder / "raw", files_of(folder / "s.zarr"), seconds, changes)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards of the other processes here as well."""
    monkeypatch.setattr(conversion, "SHARD_FRAMES", SHARD)
    monkeypatch.setattr(writer, "SHARD_FRAMES", SHARD)


def go_on(whole: Undisturbed, out: Path, overwrite: bool = False) -> None:
    """Resume; the store must be that of a conversion that nobody killed, and nothing else be left."""
    config = ConvertConfig(codec="shuffle", workers=2, resume=True, overwrite=overwrite)
    conversion.convert(NyuReader(whole.raw), out, config)
    assert files_of(out) == whole.files
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def assert_no_half_store(whole: Undisturbed, folder: Path) -> None:
    """What is under construction is refused, or has been declared whole and is."""
    for path in folder.glob("*.partial*"):
        try:
            Store(path)
        except HandbenchError:
            continue
        assert files_of(path) == whole.files


def assert_gone_on_with(whole: Undisturbed, out: Path) -> None:
    """After a kill: no half store, and going on gives the whole one; if it is there already, only the lock is left."""
    assert_no_half_store(whole, out.parent)
    if out.exists():
        assert files_of(out) == whole.files
        assert {path.name for path in out.parent.iterdir()} <= {"s.zarr", "s.zarr.lock"}
    else:
        go_on(whole, out)


@pytest.mark.usefixtures("small_shards")
def test_killed_before_any_change_and_gone_on_with(tmp_path: Path, whole: Undisturbed) -> None:
    rng = random.Random(20)
    states = []
    for fatal in rng.sample(range(1, whole.changes + 1), MOMENTS):
        out = tmp_path / str(fatal) / "s.zarr"
        out.parent.mkdir()
        victim = Victim(whole.raw, out, fatal=fatal)
        victim.begin()
        assert victim.is_killed()
        done = len(list(out.parent.glob("s.zarr.journal/*.json")))
        states.append("whole" if out.exists() else f"{done} shards" if done else "begun")
        assert_gone_on_with(whole, out)
    assert len(set(states)) >= 4, states  # the moments are spread over the work, not before or after it


@pytest.mark.usefixtures("small_shards")
def test_killed_at_any_time_and_gone_on_with(tmp_path: Path, whole: Undisturbed) -> None:
    """Also within a change; on a busy machine some kills come before the work or after it."""
    for i in range(TIMES):
        out = tmp_path / str(i) / "s.zarr"
        out.parent.mkdir()
        victim = Victim(whole.raw, out)
        victim.begin()
        time.sleep((i + 0.5) / TIMES * whole.seconds)
        victim.process.kill()
        victim.is_killed()  # or has ended just before
        assert_gone_on_with(whole, out)


@pytest.mark.usefixtures("small_shards")
def test_killed_in_the_last_steps(tmp_path: Path, whole: Undisturbed) -> None:
    for back in LAST_CHANGES:
        out = tmp_path / str(back) / "s.zarr"
        out.parent.mkdir()
        victim = Victim(whole.raw, out, fatal=whole.changes + back)
        victim.begin()
        assert victim.is_killed()
        assert_gone_on_with(whole, out)


@pytest.mark.usefixtures("small_shards")
def test_killed_while_it_replaces_a_store(tmp_path: Path, whole: Undisturbed) -> None:
    """The old store is there, whole, until the new one is; between the two, for one change, it is `s.zarr.old`."""
    first = tmp_path / "first.zarr"
    conversion.convert(NyuReader(whole.raw), first, ConvertConfig(limit=3, codec="bitshuffle"))
    old = files_of(first)
    again = tmp_path / "again" / "s.zarr"
    shutil.copytree(first, again)
    victim = Victim(whole.raw, again, overwrite=True)
    victim.begin()
    last = victim.changes()
    assert files_of(again) == whole.files
    removal = len(old) + sum(path.is_dir() for path in first.rglob("*")) + 1
    assert last == whole.changes + 1 + removal  # the old one steps aside, and each of its files and folders goes
    seen = set()
    places = whole.changes  # the number of the change that gives the new store its name
    for fatal in (1, places // 2, places - 2, places - 1, places, places + 1, places + 3, last):
        out = tmp_path / str(fatal) / "s.zarr"
        shutil.copytree(first, out)
        victim = Victim(whole.raw, out, overwrite=True, fatal=fatal)
        victim.begin()
        assert victim.is_killed()
        assert_no_half_store(whole, out.parent)
        aside = out.with_name("s.zarr.old")
        there = "none" if not out.exists() else "old" if files_of(out) == old else "new"
        if there == "none":
            assert files_of(aside) == old
        if there == "new":
            assert files_of(out) == whole.files
        seen.add(there)
        go_on(whole, out, overwrite=True)
    assert seen == {"old", "none", "new"}


def test_killed_with_processes_leaves_no_worker_and_is_gone_on_with(tmp_path: Path) -> None:
    """Its workers end with it and write no more: the lock of the store has fallen, and another may go on at once."""
    nyu.write_tree(tmp_path / "raw", {"test": 4})
    folder, frames = tmp_path / "raw" / "test", 4 * writer.SHARD_FRAMES
    for number in range(5, frames + 1):
        (folder / f"depth_1_{number:07d}.png").hardlink_to(folder / "depth_1_0000001.png")
    nyu.write_labels(folder, np.full((3, frames, 36, 3), 700.0))
    out = tmp_path / "out" / "s.zarr"
    out.parent.mkdir()
    command = [sys.executable, "-m", "handbench", "convert", "nyu", str(tmp_path / "raw"), str(out), "--resume"]
    command += ["--codec", "shuffle", "--scheduler", "processes", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        victim = psutil.Process(parent.pid)
        while len(workers := working(victim)) < 2 or not list(out.parent.glob("*.journal/*.json")):
            assert parent.poll() is None
            time.sleep(0.02)
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    conversion.convert(NyuReader(tmp_path / "raw"), tmp_path / "whole.zarr", ConvertConfig(codec="shuffle"))
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def working(parent: psutil.Process) -> list[psutil.Process]:
    """Its worker processes; Python starts one more, which looks after what they share."""
    return [child for child in parent.children() if any("spawn_main" in word for word in child.cmdline())]


def test_a_store_that_is_gone_on_with_is_not_whole(tmp_path: Path, whole: Undisturbed) -> None:
    """Killed after the last step, it says that it is; its tables are then written again, and that can be killed too."""
    partial = tmp_path / "s.zarr.partial"
    conversion.convert(NyuReader(whole.raw), partial, ConvertConfig(limit=2))
    writer.StoreWriter.resume(partial)
    with pytest.raises(HandbenchError, match="not finished"):
        Store(partial)
