"""The changes: each mutant is a module with one node of its syntax tree replaced.

Sentences for people are left alone: docstrings, f-strings, what a `raise` says, and texts of three words or more that
are not SQL. Annotations are left alone, except for the bounds in them, such as `Field(ge=0)`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
_FOR_PEOPLE = {"debug", "info", "warning", "error", "exception", "TypeVar", "add_event"}
"""Calls whose arguments only people read."""
_WITH_NOTE = {"at_most", "at_least", "none", "require"}
"""Checks of the verification, whose last argument is a sentence in the report."""
_WITH_TITLE = {"disk_full", "disk_full_while", "translated"}
"""Calls whose first argument says in an error what was being done."""
_KEYWORDS_FOR_PEOPLE = {"exc_info", "indent", "thread_name_prefix"}
"""What logs and files look like: no program reads it."""


@dataclass(frozen=True)
class Mutant:
    """One possible change of a module."""

    line: int
    what: str
    """Such as `< to <=`."""
    function: int | None
    """First line of the outermost function around it, its decorators included; None: in a module's or class's body."""


def list_mutants(source: str) -> list[Mutant]:
    """All changes of a module; the index of one is its name."""
    mutator = _Mutator(chosen=None)
    mutator.visit(ast.parse(source))
    return mutator.found


def mutated_tree(source: str, index: int) -> ast.Module:
    """The syntax tree with one change.

    Args:
        source: The module.
        index: Of the change in `list_mutants`.
    """
    tree = _Mutator(chosen=index).visit(ast.parse(source))
    return ast.fix_missing_locations(tree)


class _Mutator(ast.NodeTransformer):
    """Visits in a fixed order, counts the possible changes and makes the chosen one."""

    def __init__(self, chosen: int | None) -> None:
        self.found: list[Mutant] = []
        self._chosen = chosen
        self._function: int | None = None

    def _offer(self, node: ast.AST, what: str, change: Callable[[], ast.AST]) -> ast.AST | None:
        self.found.append(Mutant(node.lineno, what, self._function))  # type: ignore[attr-defined]
        return ast.copy_location(change(), node) if len(self.found) - 1 == self._chosen else None

    def visit(self, node: ast.AST) -> Any:
        for what, change in _changes(node):
            changed = self._offer(node, what, change)
            if changed is not None:
                return changed
        return self.generic_visit(node)

    def visit_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef, body: list[Any]) -> list[Any]:
        """The statements of a function; default values and bounds belong to what is around it."""
        outer, first = self._function, min(part.lineno for part in (node, *node.decorator_list))
        self._function = first if outer is None else outer
        try:
            return [self.visit(item) if _is_code(item) else item for item in body]
        finally:
            self._function = outer

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params"):
                self._visit_bounds(value)
            elif (
                name == "decorator_list"
                or isinstance(node, ast.Raise | ast.JoinedStr)
                or (name == "args" and _is_for_people(node))
            ):
                continue
            elif name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                value[:] = self.visit_body(node, value)
            elif name == "args" and _name_of(node) in _WITH_NOTE and len(value) >= 3:
                value[:-1] = [self.visit(item) for item in value[:-1]]
            elif name == "args" and _name_of(node) in _WITH_TITLE:
                value[1:] = [self.visit(item) for item in value[1:]]
            elif name == "keywords":
                value[:] = [item if item.arg in _KEYWORDS_FOR_PEOPLE else self.visit(item) for item in value]
            elif name == "body" and isinstance(node, ast.ExceptHandler) and _is_never_reached(*_last_two(value)):
                value[:-1] = [self.visit(item) for item in value[:-1]]
            elif isinstance(value, list):
                value[:] = [self.visit(item) if _is_code(item) else item for item in value]
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def _visit_bounds(self, annotation: ast.AST | None) -> None:
        """Numbers in calls such as Field(ge=0) inside an annotation."""
        calls = [n for n in ast.walk(annotation) if isinstance(n, ast.Call)] if annotation is not None else []
        for keyword in (keyword for call in calls for keyword in call.keywords):
            keyword.value = self.visit(keyword.value)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    match node:
        case ast.Compare(ops=[operator, *rest]):
            other = _COMPARISONS[type(operator)]
            yield (
                f"{_name(operator)} to {other.__name__}",
                lambda: ast.Compare(node.left, [other(), *rest], node.comparators),
            )
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            binary = _ARITHMETIC[type(operator)]
            yield f"{_name(operator)} to {binary.__name__}", lambda: ast.BinOp(node.left, binary(), node.right)
        case ast.AugAssign(op=operator) if type(operator) in _ARITHMETIC:
            binary = _ARITHMETIC[type(operator)]
            yield f"{_name(operator)} to {binary.__name__}", lambda: ast.AugAssign(node.target, binary(), node.value)
        case ast.BoolOp(op=ast.And() | ast.Or() as junction):
            other_junction = ast.Or if isinstance(junction, ast.And) else ast.And
            yield f"{_name(junction)} to {other_junction.__name__}", lambda: ast.BoolOp(other_junction(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield f"{_name(node.op)} dropped", lambda: node.operand
        case ast.Constant(value=bool(value)):
            yield f"{value} to {not value}", lambda: ast.Constant(not value)
        case ast.Constant(value=int(number) | float(number)):
            yield f"{number} to {number + 1}", lambda: ast.Constant(number + 1)
        case ast.Constant(value=str(text)) if text and not _is_sentence(text):
            yield f"{text!r} changed", lambda: ast.Constant(text + "X")
        case ast.Constant(value=bytes(data)) if data:
            yield f"{data!r} changed", lambda: ast.Constant(data + b"X")
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield from _forced(node, test)
        case ast.Return(value=value) if value is not None and not _is_none(value) and not _is_false(value):
            yield "return None", lambda: ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Delete():
            yield f"{_name(node)} dropped", ast.Pass
        case ast.Expr(value=ast.Call() as call) if not _is_for_people(call):
            yield "call dropped", ast.Pass
        case ast.Break():
            yield "break to continue", ast.Continue
        case ast.Continue():
            yield "continue to break", ast.Break


def _forced(node: Any, test: ast.expr) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    """The condition as a constant; never an endless loop."""
    for value in (False,) if isinstance(node, ast.While) else (True, False):
        rest = [getattr(node, name) for name in node._fields if name != "test"]
        yield f"condition {value}", lambda value=value, rest=rest: type(node)(ast.Constant(value), *rest)


def _is_code(item: object) -> bool:
    """A node that is no docstring; the lists of a tree also hold names and None."""
    is_docstring = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
    return isinstance(item, ast.AST) and not is_docstring


def _is_for_people(node: ast.AST) -> bool:
    return _name_of(node) in _FOR_PEOPLE


def _name_of(call: ast.AST) -> str | None:
    name = getattr(call, "func", None)
    return getattr(name, "attr", None) or getattr(name, "id", None)


def _is_sentence(text: str) -> bool:
    words = text.split()
    return len(words) >= 3 and not words[0].isupper()  # SQL begins with a word in capitals


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_false(node: ast.expr) -> bool:
    """None in its place is false, too."""
    return isinstance(node, ast.Constant) and node.value is False


def _last_two(body: list[ast.stmt]) -> tuple[ast.stmt, ast.stmt | None]:
    return body[-1], body[-2] if len(body) > 1 else None


def _is_never_reached(statement: ast.stmt, before: ast.stmt | None) -> bool:
    """A bare `raise` after a check of False, which has raised: it tells the type checker so."""
    match before:
        case ast.Expr(value=ast.Call(args=[_, ast.Constant(value=False), *_]) as call):
            return isinstance(statement, ast.Raise) and statement.exc is None and _name_of(call) == "require"
    return False


def _name(node: ast.AST) -> str:
    return type(node).__name__
