"""The command line as a whole: help, imports, errors; and the shape of the package."""

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import handbench
from handbench.cli import COMMANDS, load_command, main
from handbench.console import claim_output, remove, whole_or_nothing, without_nan
from handbench.errors import HandbenchError

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("converters", "eval", "plots")
HEAVY = ("torch", "matplotlib", "pandas", "dask", "zarr", "cv2", "scipy")


def sub_commands() -> list[list[str]]:
    """Every command and sub-command, as one would type it."""
    paths = []
    for name in COMMANDS:
        paths.append([name])
        paths += [[name, child] for child in getattr(load_command(name), "commands", {})]
    return paths


@pytest.mark.parametrize("path", sub_commands(), ids=" ".join)
def test_help_of_every_command(path: list[str]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert f"{' '.join(path)} [OPTIONS]" in result.stdout
    command = load_command(path[0])
    assert command.get_short_help_str(200), "a command says what it does"


def test_the_list_has_a_line_for_each_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    for name, (_, line) in COMMANDS.items():
        assert name in result.stdout
        assert line in result.stdout


@pytest.mark.parametrize("code", ["import handbench", "from handbench.cli import main; main(['--help'])"])
def test_help_imports_nothing_heavy(code: str) -> None:
    probe = f"import sys, atexit, json\natexit.register(lambda: print(json.dumps(sorted(sys.modules))))\n{code}"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    modules = json.loads(out.splitlines()[-1])
    assert not [name for name in HEAVY if name in modules]


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.strip() == f"handbench, version {handbench.__version__}"


def test_unknown_command_exits_2() -> None:
    result = CliRunner().invoke(main, ["convrt"])
    assert result.exit_code == 2
    assert "No such command 'convrt'" in result.stderr


def test_a_mistake_is_one_line_and_exit_2() -> None:
    result = CliRunner().invoke(main, ["info", "/nowhere/at/all/" + "long" * 40])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: there is no store at /nowhere")
    assert result.stderr.count("\n") == 1


def test_a_program_that_calls_a_command_gets_the_error_itself() -> None:
    with pytest.raises(HandbenchError, match="there is no store"):
        main(["info", "/nowhere"], standalone_mode=False)


# -- outputs ---------------------------------------------------------------------------------------------------------


def test_an_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")

    def fail() -> None:
        with whole_or_nothing(out) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
    with whole_or_nothing(out) as partial:
        partial.mkdir()
        (partial / "x").write_text("new")
    assert (out / "x").read_text() == "new"
    remove(out)
    assert not out.exists()


def test_an_output_is_claimed(tmp_path: Path) -> None:
    claim_output(tmp_path / "new", overwrite=False)
    with pytest.raises(HandbenchError, match="--overwrite"):
        claim_output(tmp_path, overwrite=False)
    with pytest.raises(HandbenchError, match="create it first"):
        claim_output(tmp_path / "no" / "new", overwrite=True)


@given(
    st.recursive(st.floats() | st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_json_has_no_nan(value: object) -> None:
    assert "NaN" not in json.dumps(without_nan(value)).replace('"', "") or "NaN" in repr(value)
    assert without_nan([float("nan"), 1.0, {"a": float("nan")}]) == [None, 1.0, {"a": None}]


# -- the package -----------------------------------------------------------------------------------------------------


def modules() -> list[Path]:
    return [path for folder in ("handbench", *ROOMS) for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, anywhere in it."""
    package = ["handbench", *path.relative_to(ROOT).with_suffix("").parts]
    if package[1] == "handbench":
        package.pop(0)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            stem = ".".join(filter(None, (base, node.module or "")))
            names |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return names


def in_room(name: str, room: str) -> bool:
    return name == f"handbench.{room}" or name.startswith(f"handbench.{room}.") or name.split(".")[0] == room


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_direction_of_imports(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    forbidden = [room for room in ROOMS if room != own]
    bad = {name for name in imported(path) for room in forbidden if in_room(name, room)}
    assert not bad, f"{own} must not import {bad}"
    uses_torch = any(name.split(".")[0] in ("torch", "torchvision") for name in imported(path))
    may = path.is_relative_to(ROOT / "handbench" / "srn") or path.name == "arrays.py"  # arrays.py: for types only
    assert may or not uses_torch, "only handbench/srn imports torch"


def test_the_direction_test_sees_every_form_of_import(tmp_path: Path) -> None:
    forms = ["import handbench.eval.score", "from handbench import eval", "from handbench.eval import score"]
    for form in forms:
        path = ROOT / "plots" / "probe.py"
        names = {
            name
            for node in ast.walk(ast.parse(form))
            for name in (
                {alias.name for alias in node.names}
                if isinstance(node, ast.Import)
                else {f"{node.module}.{alias.name}" for alias in node.names}
                if isinstance(node, ast.ImportFrom)
                else set()
            )
        }
        assert any(in_room(name, "eval") for name in names), (path, form)


def test_declared_packages_are_those_on_disk() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = {"handbench"} | {f"handbench.{room}" for room in ROOMS}
    for folder in ("handbench", *ROOMS):
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            on_disk.add(".".join(parts if parts[0] == "handbench" else ("handbench", *parts)))
    assert set(declared["packages"]) == on_disk
    assert declared["package-dir"] == {"handbench": "handbench", **{f"handbench.{room}": room for room in ROOMS}}


def test_declared_data_files_are_those_on_disk() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for folder in ("handbench", *ROOMS):
        for path in (ROOT / folder).rglob("*"):
            if not path.is_file() or path.suffix in (".py", ".pyc") or "__pycache__" in path.parts:
                continue
            parts = path.relative_to(ROOT).parts
            name = ".".join(p for p in (parts if parts[0] == "handbench" else ("handbench", *parts))[:-1])
            package = name if name in declared else name.rpartition(".")[0]
            inside = path.name if name in declared else f"{path.parent.name}/{path.name}"
            assert any(Path(inside).match(pattern) for pattern in declared[package]), f"{path} is left out of the wheel"


@pytest.mark.parametrize("room", ROOMS)
def test_the_links_lead_to_their_rooms(room: str) -> None:
    assert (ROOT / "handbench" / room).resolve() == ROOT / room
    assert (ROOT / "handbench" / room).readlink() == Path("..") / room


def test_the_version_stands_in_one_place() -> None:
    assert version("handbench") == handbench.__version__
