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

import handbench
from handbench.cli import COMMANDS, load_command, main
from handbench.console import claim_output, remove, whole_or_nothing, without_nan
from handbench.errors import HandbenchError

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("converters", "eval", "plots")
TORCH = (("handbench", "srn"), ("handbench", "loading"))
TORCH_MODULES = {Path("handbench/preprocess/torch_crop.py"), Path("handbench/arrays.py")}  # arrays: as a type only
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


def test_json_has_no_nan() -> None:
    assert without_nan([float("nan"), 1.0, {"a": (float("nan"), "NaN")}]) == [None, 1.0, {"a": [None, "NaN"]}]


# -- the package -----------------------------------------------------------------------------------------------------


def modules() -> list[Path]:
    return [path for folder in ("handbench", *ROOMS) for path in sorted((ROOT / folder).rglob("*.py"))]


def package_of(path: Path) -> list[str]:
    """The dotted name of a module, in parts."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return list(parts if parts[0] == "handbench" else ("handbench", *parts))


def imported(source: str, module: list[str]) -> set[str]:
    """Absolute names of all that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = module[: -node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return names


def in_room(name: str, room: str) -> bool:
    return f"{name}.".startswith((f"handbench.{room}.", f"{room}."))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_direction_of_imports(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    names = imported(path.read_text(encoding="utf-8"), package_of(path))
    assert not {name for name in names for room in ROOMS if room != own and in_room(name, room)}
    if path.relative_to(ROOT).parts[:2] not in TORCH and path.relative_to(ROOT) not in TORCH_MODULES:
        assert not {name for name in names if name.split(".")[0] in ("torch", "torchvision")}


@pytest.mark.parametrize(
    "source",
    [
        "import handbench.eval.score",
        "def f():\n    from handbench import eval",
        "from handbench.eval import score",
        "from ..eval import score",
        "import eval",
    ],
)
def test_the_direction_test_sees_every_form_of_import(source: str) -> None:
    names = imported(source, package_of(ROOT / "plots" / "curves.py"))
    assert any(in_room(name, "eval") for name in names)
    assert not any(in_room(name, "plots") for name in names)


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
