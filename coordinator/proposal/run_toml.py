"""A proposal as a complete run.toml: every setting with what it means, and those that were chosen with the reason.

Settings that keep their default are there too, after a `#`, so that nobody has to look for their names.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tomli_w

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.proposal.field_docs import field_docs
from paris.coordinator.proposal.wishes import Proposal, Reason
from paris.coordinator.run.config import RunConfig
from paris.protocol.printable import printable

_WIDTH = 100
_TABLES = "paris.coordinator.run.config_tables"
_SOURCES = "paris.coordinator.prepare.sources.settings"
_CLASSES = {
    "about": (_TABLES, "AboutTable"),
    "run": (_TABLES, "RunTable"),
    "pretrained": (_TABLES, "PretrainedTable"),
    "hub": (_TABLES, "HubTable"),
    "dht": (_TABLES, "DhtTable"),
    "tasks": (_TABLES, "TaskTable"),
    "model": (_TABLES, "ModelTable"),
    "objectives": (_TABLES, "ObjectivesTable"),
    "training": ("paris.experts.training.config", "BaseTrainingConfig", "TrainingConfig"),
    "router": (_TABLES, "RouterTable"),
    "compute": (_TABLES, "ComputeTable"),
    "sampling": (_TABLES, "SamplingTable"),
    "text": ("paris.experts.frozen.text", "TextConfig"),
    "codec": ("paris.experts.frozen.codec", "CodecConfig"),
    "data": ("paris.coordinator.prepare.config", "PrepareConfig"),
}
_HEADS = {
    "about": "What the run is, for people; `paris-coord plan` takes the number of pictures.",
    "pretrained": "Where `prepare` takes the VAE and the text encoder from.",
    "run": "The run: its name, the number of experts K, the text of its cards.",
    "hub": "The Hub with the run's two repos. Here `serve` runs it; for another, paris-coord init --hub URL.",
    "dht": "The coordinator's address. 127.0.0.1 is for volunteers on this machine alone; see paris-coord init --host.",
    "tasks": "The work of one expert and its time limits, in seconds.",
    "model": "The shape of an expert: a preset, and what differs from it.",
    "training": "How each expert is trained.",
    "router": "The router, which selects the experts at each denoising step.",
    "text": "How captions are read.",
    "codec": "How pictures are stored: as pixels, or as latents of a VAE.",
    "data": "What `prepare` does with the pictures.",
    "data.source": "Where the pictures are. Nothing is copied.",
    "sampling": "Defaults for drawing pictures, and the prompts of the report.",
    "verify": "Bounds of the verification that differ from their defaults.",
    "compute": "This machine's part: verification and the router.",
    "objectives": "Experts that predict noise instead of velocity.",
}
_MANAGED = {"source", "num_clusters", "codec", "vocabulary", "tokenizer", "max_tokens", "seed", "captions"}
"""Fields of PrepareConfig that `prepare` takes from other tables."""


def write_run_toml(proposal: Proposal, config: RunConfig, head: Iterable[str]) -> str:
    """The text of run.toml.

    Args:
        proposal: The reasons.
        config: The settings to write: the proposal's, with free ports.
        head: Lines of the comment at the top.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    reasons = {reason.setting: reason for reason in proposal.reasons}
    lines = [*(f"# {_one_line(line)}".rstrip() for line in head), "", f"format = {values.pop('format')}"]
    for name, table in values.items():
        if table or name in _CLASSES:
            lines += ["", *_table(name, table, config, reasons)]
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping[str, Any], config: RunConfig, reasons: Mapping[str, Reason]) -> Iterator[str]:
    docs = field_docs(*_CLASSES[name]) if name in _CLASSES else {}
    yield from _comment(_HEADS.get(name, ""))
    yield f"[{name}]"
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key, value in table.items():
        if key not in inner:
            yield from _setting(f"{name}.{key}", value, docs.get(key, ""), reasons)
    yield from _unset(name, table, config, docs)
    for key, value in inner.items():
        if name == "data" and key == "source":
            yield from ("", *_source(value, config, reasons))
        elif value:
            yield from ("", *_comment(docs.get(key, "")), f"[{name}.{key}]")
            yield from tomli_w.dumps(value).splitlines()


def _source(table: Mapping[str, Any], config: RunConfig, reasons: Mapping[str, Reason]) -> Iterator[str]:
    kind = next(kind for kind in FilesSource.__subclasses__() if kind.model_fields["kind"].default == table["kind"])
    docs = field_docs(_SOURCES, "FilesSource", kind.__name__)
    yield from _comment(_HEADS["data.source"])
    yield "[data.source]"
    for key in sorted(kind.model_fields, key=lambda key: (key != "kind", key not in ("path", "repo"))):
        if key in table:
            yield from _setting(f"data.source.{key}", table[key], docs.get(key, ""), reasons)
        else:
            yield from _comment(docs.get(key, ""))
            yield f'# {key} = ""'


def _setting(path: str, value: Any, doc: str, reasons: Mapping[str, Reason]) -> Iterator[str]:
    yield from _comment(doc)
    if path in reasons:
        yield from _comment(f"Chosen: {reasons[path].why}")
    yield from tomli_w.dumps({path.rpartition(".")[2]: value}).splitlines()


def _unset(name: str, table: Mapping[str, Any], config: RunConfig, docs: Mapping[str, str]) -> Iterator[str]:
    """Settings with their defaults, commented out."""
    if name == "data":
        fields = {key: field.default for key, field in PrepareConfig.model_fields.items() if key not in _MANAGED}
    elif hasattr(getattr(config, name), "model_fields_set"):
        fields = {key: field.default for key, field in type(getattr(config, name)).model_fields.items()}
    else:
        return
    for key, default in fields.items():
        if key not in table and isinstance(default, bool | int | float | str | tuple | None):
            yield from _comment(docs.get(key, ""))
            yield f"# {key} is not set" if default is None else f"# {tomli_w.dumps({key: default}).strip()}"


def _comment(text: str) -> list[str]:
    return [
        f"# {line}" for line in textwrap.wrap(_one_line(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    ]


def _one_line(text: str) -> str:
    """A comment's text: names of files and classes may hold characters that TOML forbids there."""
    return printable(" ".join(text.split()))
