"""`make mutants` changes what it says, and its plan names modules and tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.mutants import loader
from benchmarks.mutants.operators import list_mutants, mutated_tree
from benchmarks.mutants.plan import GROUPS, Group
from benchmarks.mutants.table import interval

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''"""Docstring 1."""
def f(a: int = 1, *, key: str = "k"):
    """Docstring 2."""
    if a < 2 and not key:
        raise ValueError(f"{a} is too small")
    return a + 1
'''


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_each_pattern_of_the_plan_names_files_that_exist(group: Group):
    assert [pattern for pattern in (*group.modules, *group.tests, *group.without) if not list(ROOT.glob(pattern))] == []
    assert any(list_mutants((ROOT / path).read_text("utf-8")) for path in group.paths())


def test_no_module_is_counted_in_two_groups():
    paths = [path for group in GROUPS for path in group.paths()]
    assert len(set(paths)) == len(paths)


def test_a_mutant_knows_its_outermost_function_and_defaults_lie_outside_of_it():
    mutants = list_mutants(SOURCE)
    assert {mutant.function for mutant in mutants if mutant.line > 2} == {2}
    assert {mutant.function for mutant in mutants if mutant.line == 2} == {None}


def test_a_changed_function_is_changed_wherever_it_is_referred_to(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "changed_by_a_mutant.py").write_text(SOURCE)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv(loader.VARIABLE, "")
    from changed_by_a_mutant import f as taken_before

    index, mutant = next((i, m) for i, m in enumerate(list_mutants(SOURCE)) if m.what == "Add to Sub")
    functions = loader.functions_of("changed_by_a_mutant")
    assert taken_before(5, key="a") == 6
    assert loader.replace_code(functions, "changed_by_a_mutant", index, mutant.function)
    assert taken_before(5, key="a") == 4


@pytest.mark.parametrize(("killed", "run"), [(0, 5), (9, 10), (92, 100), (7, 7)])
def test_the_ends_of_an_interval_are_where_the_sample_is_two_standard_deviations_away(killed: int, run: int):
    for end in interval(killed, run):
        if 0 < end < 1:
            assert abs(killed / run - end) == pytest.approx(1.959964 * (end * (1 - end) / run) ** 0.5)
    assert interval(killed, run)[0] <= killed / run <= interval(killed, run)[1]


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


def test_the_sentence_of_a_check_is_left_alone_and_its_bound_is_not():
    for note in ('"bytes of the file"', "str(error)[:200]"):
        source = f'checks.at_most("size", found, 5, {note})'
        assert [mutant.what for mutant in list_mutants(source)] == ["call dropped", "'size' changed", "5 to 6"]


def test_a_text_of_three_words_is_a_sentence_for_people_and_sql_is_none():
    assert list_mutants("text = 'the volunteer is leaving.'") == []
    assert len(list_mutants("text = 'SELECT name FROM users'")) == 1
    assert len(list_mutants("text = 'retry at'")) == 1


def test_what_only_logs_and_errors_show_is_left_alone():
    assert list_mutants("with disk_full_while('saving it', folder): pass") == []
    assert [mutant.what for mutant in list_mutants("x = dumps(value, indent=1, sort_keys=True)")] == ["True to False"]
    assert list_mutants("with translated(f'listing {path}'): pass") == []


def test_what_cannot_differ_is_no_mutant():
    assert [mutant.what for mutant in list_mutants("def f():\n    return False")] == ["False to True"]
    handled = "try:\n    f()\nexcept E:\n    checks.require('a', {}, str(e))\n    raise"
    assert "Raise dropped" not in [mutant.what for mutant in list_mutants(handled.format(False))]
    assert "Raise dropped" in [mutant.what for mutant in list_mutants(handled.format("found"))]
