"""Nothing that comes from a machine or a file is ever unpickled, evaluated or run through a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("protocol", "experts", "node", "coordinator")
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "torch.hub.load",
    "torch.jit.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
WEIGHTS_ONLY = {"experts/frozen/features.py"}
"""Reads weights out of an installed package, which ships no safetensors."""


def product_files() -> list[Path]:
    return [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]


def findings(source: str) -> Iterator[str]:
    """What a module's source does that it must not."""
    tree = ast.parse(source)
    safe = {"yaml.SafeLoader"} | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "yaml.SafeLoader" in map(ast.unparse, node.bases)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            yield from _call_findings(node, safe)


def _call_findings(call: ast.Call, safe_loaders: set[str]) -> Iterator[str]:
    name = ast.unparse(call.func)
    arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in FORBIDDEN_CALLS:
        yield f"calls {name}"
    if name == "yaml.load" and not safe_loaders & {*map(ast.unparse, call.args[1:]), arguments.get("Loader", "")}:
        yield "calls yaml.load without a safe loader"
    if arguments.get("allow_pickle", "False") != "False":
        yield f"calls {name} with allow_pickle"
    if name == "torch.load":
        yield "calls torch.load" + (" with weights_only=True" if arguments.get("weights_only") == "True" else "")
    if arguments.get("shell") == "True":
        yield f"calls {name} with shell=True"
    if arguments.get("trust_remote_code", "False") != "False":
        yield f"calls {name} with trust_remote_code"


def test_product_code_never_unpickles_or_evaluates():
    bad = []
    for path in product_files():
        name = str(path.relative_to(ROOT))
        found = set(findings(path.read_text("utf-8")))
        if name in WEIGHTS_ONLY:
            found.discard("calls torch.load with weights_only=True")
        bad += [f"{name} {what}" for what in sorted(found)]
    assert bad == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle", "imports pickle"),
        ("from joblib import load", "imports joblib"),
        ("x = torch.load(path)", "calls torch.load"),
        ("x = torch.load(path, weights_only=False)", "calls torch.load"),
        ("x = torch.load(path, weights_only=True)", "calls torch.load with weights_only=True"),
        ("x = np.load(path, allow_pickle=True)", "calls np.load with allow_pickle"),
        ("yaml.load(text, Loader)", "calls yaml.load without a safe loader"),
        ("subprocess.run(line, shell=True)", "calls subprocess.run with shell=True"),
        (
            "AutoModel.from_pretrained(x, trust_remote_code=True)",
            "calls AutoModel.from_pretrained with trust_remote_code",
        ),
    ],
)
def test_the_check_sees_what_it_looks_for(source: str, what: str):
    assert list(findings(source)) == [what]


def test_no_assertion_stands_in_product_code():
    """`python -O` removes them; what must hold is checked and said."""
    asserting = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in product_files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserting == []


def test_a_safe_loader_and_its_children_are_no_findings():
    assert (
        list(findings("class L(yaml.SafeLoader): ...\nyaml.load(text, L)\nyaml.load(text, Loader=yaml.SafeLoader)"))
        == []
    )
