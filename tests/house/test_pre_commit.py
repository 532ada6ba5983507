"""The quick checks before a commit are the checks of `make test`, by the same versions."""

from __future__ import annotations

import re

import yaml
from documents import ROOT

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]


def test_every_hook_repository_is_public_and_pinned():
    assert all(re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", hook["repo"]) for hook in HOOKS)
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", hook["rev"]) for hook in HOOKS)


def test_hooks_and_pins_name_the_same_versions():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    for hook in HOOKS:
        tool = {"ruff-pre-commit": "ruff"}.get(hook["repo"].rpartition("/")[2], hook["repo"].rpartition("/")[2])
        if tool != "pre-commit-hooks":
            assert hook["rev"] == f"v{pins[tool]}", f"{tool} in .pre-commit-config.yaml and in constraints.txt"
