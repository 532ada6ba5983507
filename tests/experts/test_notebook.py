"""The notebook of the documents runs on a release, and is stored without outputs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from golden_release import make_release
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "sample.ipynb"


def cells(kind: str) -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def run(source: str, names: dict[str, object]) -> object:
    """Run a cell; the value of its last line if that is an expression, which a notebook shows."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return eval(compile(last, str(NOTEBOOK), "eval"), names) if last else None


def test_it_is_stored_without_outputs():
    assert [cell for cell in cells("code") if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.filterwarnings("ignore::paris.experts.frozen.text.PromptWarning")
def test_it_draws_pictures_and_tells_which_expert_drew_each(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    release = make_release(tmp_path / "release")
    fields = json.loads((release / "config.json").read_text("utf-8"))
    few = {**fields, "sampling": {**fields["sampling"], "num_steps": 3}}
    (release / "config.json").write_text(json.dumps(few), "utf-8")
    monkeypatch.setenv("PARIS_MODEL", str(release))
    names: dict[str, object] = {}
    shown = [run("".join(cell["source"]), names) for cell in cells("code")]
    assert isinstance(shown[1], Image.Image)
    assert shown[1].size == (128 * 4, 128 * 2)
    assert len(shown[1].resize((8, 4)).getcolors()) > 1, "pictures, and not one colour"
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 8
    assert all(re.fullmatch(r"(red|blue) heart, seed [0-3]: expert [0-2]: 100%.*", line) for line in told), told
    assert shown[3].size[0] > 100
