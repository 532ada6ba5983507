"""What is installed is what stands in the folders: nothing forgotten, nothing generic in site-packages."""

from __future__ import annotations

import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP = ("protocol", "experts", "node", "coordinator")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def folders_with_code() -> set[str]:
    found = {path.parent.relative_to(ROOT) for package in TOP for path in (ROOT / package).rglob("*.py")}
    return {"paris." + ".".join(folder.parts) for folder in found}


def test_every_folder_with_code_is_listed_as_a_package():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders_with_code()


def test_every_data_file_is_packaged():
    """Patterns of package-data are relative to a listed package; folders that are no packages need one of their own."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    left_out = []
    for package in sorted(folders_with_code()):
        folder = ROOT.joinpath(*package.split(".")[1:])
        wanted = {
            path
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and _owner(path) == folder
        }
        covered = {
            path for pattern in [*patterns.get("*", []), *patterns.get(package, [])] for path in folder.glob(pattern)
        }
        left_out += [str(path.relative_to(ROOT)) for path in sorted(wanted - covered)]
    assert left_out == []


def test_every_package_is_typed():
    assert [name for name in TOP if not (ROOT / name / "py.typed").is_file()] == []


def test_the_two_commands_are_installed():
    ours = {
        entry.name: entry.value for entry in entry_points(group="console_scripts") if entry.value.startswith("paris.")
    }
    assert ours == PROJECT["project"]["scripts"]


def _owner(path: Path) -> Path:
    """The nearest folder above that holds code."""
    return next(folder for folder in path.parents if any(folder.glob("*.py")))
