"""`make mutants` changes what it says, and its plan names modules and tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.mutants.operators import list_mutants, mutated_tree
from benchmarks.mutants.plan import PLAN

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''"""Docstring 1."""
def f(a: int = 1, *, key: str = "k"):
    """Docstring 2."""
    if a < 2 and not key:
        raise ValueError(f"{a} is too small")
    return a + 1
'''


@pytest.mark.parametrize("path", PLAN)
def test_the_plan_names_a_module_and_tests_that_exist(path: str):
    assert (ROOT / path).is_file()
    assert [tests for tests in PLAN[path] if not (ROOT / tests).exists()] == []
    assert list_mutants((ROOT / path).read_text("utf-8"))


def test_each_mutant_changes_the_code_in_its_own_way():
    changed = [ast.unparse(mutated_tree(SOURCE, index)) for index in range(len(list_mutants(SOURCE)))]
    assert len(set(changed)) == len(changed)
    assert ast.unparse(ast.parse(SOURCE)) not in changed
    for line in (
        "if a <= 2 and",
        "if a < 2 or",
        "if False:",
        "return a - 1",
        "return None",
        "a: int=2",
        "key: str='kX'",
    ):
        assert sum(line in text for text in changed) == 1, line


def test_sentences_for_people_are_left_alone():
    for index in range(len(list_mutants(SOURCE))):
        text = ast.unparse(mutated_tree(SOURCE, index))
        assert '"""Docstring 1."""' in text
        assert '"""Docstring 2."""' in text
        assert "is too small" in text or "pass" in text
