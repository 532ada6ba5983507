"""Small all the way up: a file is one idea, a function fits a screen."""

from __future__ import annotations

import ast
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("protocol", "experts", "node", "coordinator")
WARN_LINES, MAX_LINES, MAX_FUNCTION_LINES = 300, 400, 60


def product_files() -> list[Path]:
    return [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and lines, its docstring not counted: words are not what makes a function long."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            words = first.end_lineno - first.lineno + 1 if is_documented else 0
            yield node.name, node.end_lineno - node.lineno + 1 - words


def test_no_file_grows_beyond_four_hundred_lines():
    tests = [path for name in ("tests", "benchmarks") for path in sorted((ROOT / name).rglob("*.py"))]
    lengths = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in [*product_files(), *tests]}
    for path, length in lengths.items():
        if length > WARN_LINES:
            warnings.warn(f"{path} has {length} lines: which two ideas are in it?", stacklevel=1)
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_no_function_has_sixty_lines_of_code():
    long = [
        f"{path.relative_to(ROOT)}:{name}: {length}"
        for path in product_files()
        for name, length in functions(path)
        if length >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_the_repository_holds_no_large_file():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name] if listed.returncode == 0 else []
    assert [
        f"{path.name}: {path.stat().st_size}" for path in files if path.is_file() and path.stat().st_size > 500_000
    ] == []
