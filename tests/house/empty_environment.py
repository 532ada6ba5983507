"""An environment with exactly what `pip install 'paris-swarm[...]'` would install, linked from this one.

A real install downloads gigabytes. Here the wheel is built from the tree and unpacked into a new virtual environment,
and the distributions that its requirements lead to, with their own, are linked beside it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
NAME = "paris-swarm"
_SOURCES = ("protocol", "experts", "node", "coordinator", "pyproject.toml", "README.md", "LICENSE")


def sources() -> list[str]:
    """Files of the tree that belong to the package, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *_SOURCES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [name for name in listed if (ROOT / name).is_file()]


def build_wheel(folder: Path) -> Path:
    """The wheel of the tree's tracked files."""
    return _build(folder, "wheel", "*.whl")


def build_sdist(folder: Path) -> Path:
    """The source distribution of the tree's tracked files."""
    return _build(folder, "sdist", "*.tar.gz")


def _build(folder: Path, kind: str, pattern: str) -> Path:
    tree = folder / "tree"
    for name in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, check=True)
    return next(folder.glob(pattern))


def make_environment(folder: Path, wheel: Path, extras: Iterable[str] = ()) -> Path:
    """Make a virtual environment in `folder`; returns its Python.

    Args:
        folder: To be made.
        wheel: From `build_wheel`.
        extras: Of the package, as in `paris-swarm[coordinator]`.
    """
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    ours = next(PathDistribution(path) for path in site.glob("paris_swarm*.dist-info"))
    for name in sorted({found.name for found in _closure(ours, frozenset(extras))}):
        _link(distribution(name), site)
    return folder / "bin" / "python"


def _closure(root: Distribution, extras: frozenset[str]) -> Iterator[Distribution]:
    """All distributions that a resolver takes for these extras, from those installed here."""
    waiting, seen = [(root, extras)], {(root.name, extras)}
    while waiting:
        found, wanted = waiting.pop()
        for text in found.requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                continue
            try:
                needed = distribution(requirement.name)
            except PackageNotFoundError:  # such as CUDA's parts of a torch for the CPU
                continue
            key = (needed.name, frozenset(requirement.extras))
            if key not in seen:
                seen.add(key)
                waiting.append((root if needed.name == root.name else needed, key[1]))
                if needed.name != root.name:  # an extra that takes another one along
                    yield needed


def _link(found: Distribution, site: Path) -> None:
    """Link a distribution's files: whole folders where they are its own, else file by file."""
    for file in found.files or []:
        parts = Path(file).parts
        if ".." in parts or parts[-1].endswith(".pth") or "__pycache__" in parts:
            continue
        source = Path(str(found.locate_file(file)))
        top = source.parents[len(parts) - 2] if len(parts) > 1 else source
        is_package = (top / "__init__.py").is_file() or top.suffix in (".dist-info", ".libs")
        target, source = (site / parts[0], top) if len(parts) == 1 or is_package else (site / file, source)
        if target.exists() or not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
