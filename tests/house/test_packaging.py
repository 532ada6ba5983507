"""What is installed is what stands in the folders: nothing forgotten, nothing generic in site-packages."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

from paris.experts import installed
from paris.protocol import version

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


def test_every_imported_distribution_is_declared():
    """A package that comes along with another may go with it."""
    optional = PROJECT["project"]["optional-dependencies"]
    base = {_normal(name) for name in PROJECT["project"]["dependencies"]}
    more = {_normal(name) for extra in ("coordinator", "demo", "postgres", "ray", "sample") for name in optional[extra]}
    owners = packages_distributions()
    missing = []
    for top in TOP:
        allowed = base | more if top == "coordinator" else base
        # experts has parts that only the coordinator's machine uses; they are imported where they are called.
        allowed |= more | {_normal(name) for name in optional["eightbit"]} if top == "experts" else set()
        for path in sorted((ROOT / top).rglob("*.py")):
            for module in sorted(_imported(path) - set(sys.stdlib_module_names) - {"paris"}):
                if not allowed & {_normal(name) for name in owners.get(module, [module])}:
                    missing.append(f"{path.relative_to(ROOT)} imports {module}")
    assert missing == []


def test_the_advice_to_upgrade_is_written_once_and_has_one_form():
    """Once in each of the two packages that do not know each other."""
    assert installed.UPGRADE == version.UPGRADE
    code = [path for top in TOP for path in (ROOT / top).rglob("*.py") if "--upgrade" in path.read_text("utf-8")]
    assert sorted(path.name for path in code) == ["installed.py", "version.py"]
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    advice = [
        line for path in documents for line in path.read_text("utf-8").splitlines() if "install --upgrade" in line
    ]
    assert advice
    assert [line for line in advice if "pip install --upgrade paris-swarm" not in line] == []


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


def _normal(requirement: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement)[0]).lower()


def _imported(path: Path) -> set[str]:
    """Top-level names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_no_two_modules_of_the_tests_have_one_name():
    """Their folders are all on the import path of one process: the second one of a name would never be imported."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("conftest.py", "__init__.py")]
    assert {name for name in names if names.count(name) > 1} == set()
