"""The sentences that document the fields of a settings class, read from its source: each fact is written once.

Read as text, so that a class whose module imports torch can be documented without it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path


@functools.cache
def field_docs(module: str, *classes: str) -> dict[str, str]:
    """The text under each field, in one line.

    Args:
        module: Name of the module.
        classes: Names of classes in it; fields of later ones replace those of earlier ones.

    Returns:
        Field to text; empty where the module has no source file here.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return {}
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    nodes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name: text for wanted in classes for name, text in _documented(nodes[wanted].body)}


def _documented(body: list[ast.stmt]) -> list[tuple[str, str]]:
    """Fields that a string follows."""
    return [
        (field.target.id, _sentence(text.value.value))
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]


def _sentence(text: str) -> str:
    """A documenting string in one line, about TOML, which has no None."""
    return re.sub(r"\bNone\b", "unset", " ".join(inspect.cleandoc(text).split()))
