"""README.md of the model repo, before a release and with one, and of a distilled student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paris.coordinator.model_repo.metadata import front_matter, measured
from paris.coordinator.model_repo.released import Released
from paris.coordinator.model_repo.sections import (
    contributor_table,
    defaults,
    expert_table,
    how_to_join,
    how_to_use,
    origin,
    revision_link,
    verified_share,
    what_it_is,
)
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import State
from paris.protocol.hub_layout import PUBLIC_ENDPOINT

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def progress_card(run: RunDir, state: State, released: Released | None) -> str:
    """Make README.md of a run without a release of the experts that are registered now.

    Args:
        run: The run.
        state: Its state.
        released: The last release, of other experts; None if there was none.

    Returns:
        Markdown with YAML front matter.
    """
    config, num_experts = run.config, run.config.run.num_experts
    registered = f"{state.num_registered} of {num_experts} experts are registered"
    release = "There is no release yet; the experts cannot be sampled from without its router."
    if released is not None:
        release = f"The last release, of earlier experts, is {revision_link(config.hub, released.tag)}."
    body = [
        *_about(run),
        *what_it_is(config, num_experts),
        "",
        f"**{registered}, {verified_share(state):.0%} of the steps are verified.** {release}",
        "",
        "## Join",
        "",
        *how_to_join(run, state),
        "",
        *_experts(run, state),
        *_data(run, f"`attribution.parquet` of `{config.hub.data_repo}`"),
    ]
    return _page(run, _tags(run, state), body, measured(run, state))


def release_card(run: RunDir, state: State, tag: str, pictures: Mapping[str, str]) -> str:
    """Make README.md of a release.

    Args:
        run: The run.
        state: Its state; all experts are registered.
        tag: Of the release, on the Hub.
        pictures: File in the release folder to what it shows.

    Returns:
        Markdown with YAML front matter.
    """
    config = run.config
    shown = [line for name, what in pictures.items() for line in (f"![{what}]({name})", "", what, "")]
    body = [
        *_about(run),
        *what_it_is(config, config.run.num_experts),
        "",
        *how_to_use(run, config.hub.model_repo, config.hub.endpoint, tag),
        "",
        defaults(config.sampling),
        "",
        *shown,
        *_experts(run, state),
        *_data(run, "`ATTRIBUTION.parquet`"),
    ]
    return _page(run, _tags(run, state), body, measured(run, state))


def student_card(run: RunDir, folder: str, steps: int, batch_size: int, teachers: Sequence[str]) -> str:
    """Make README.md of a model distilled from the run's experts.

    Args:
        run: The run.
        folder: The model's folder, for the usage example.
        steps: Optimizer steps of the student.
        batch_size: Rows of a step.
        teachers: SHA-256 of each expert, in order.

    Returns:
        Markdown with YAML front matter.
    """
    body = [
        f"One dense model ({run.config.model.preset}), distilled from {len(teachers)} experts in {steps} steps of",
        f"{batch_size} rows: each row was taught by the expert of its cluster. It samples without a router.",
        "",
        *how_to_use(run, folder, PUBLIC_ENDPOINT),
        "",
        "| teacher | sha256 |",
        "| --- | --- |",
        *(f"| {number} | `{sha256}` |" for number, sha256 in enumerate(teachers)),
        "",
        *_data(run, "`ATTRIBUTION.parquet`"),
    ]
    return _page(run, ["flow-matching", "distilled"], body, title=f"{run.config.run.name}, distilled")


def _about(run: RunDir) -> list[str]:
    """The sentence of `[about] what`, which recipes begin in lower case."""
    about = run.config.about
    what = "" if about is None else about.what.strip()
    return [f"{what[0].upper()}{what[1:].rstrip('.')}.", ""] if what else []


def _experts(run: RunDir, state: State) -> list[str]:
    contributors = [credit for credit in credits_of(state) if credit.steps]
    return [
        "## Experts",
        "",
        *expert_table(run, state),
        "",
        *(["## Contributors", "", *contributor_table(contributors), ""] if contributors else []),
    ]


def _data(run: RunDir, attribution_file: str) -> list[str]:
    return ["## Data and licence", "", *origin(run, attribution_file)]


def _tags(run: RunDir, state: State) -> list[str]:
    registered = sorted(t.task.cluster for t in state.experts.values() if t.registration is not None)
    learned = ["flow-matching", *(["ddpm"] if run.config.objectives.epsilon_clusters else [])]
    return [*learned, *(f"expert:{cluster}" for cluster in registered)]


def _page(
    run: RunDir, tags: list[str], body: list[str], results: Sequence[EvalResult] = (), title: str | None = None
) -> str:
    """Put the Hub's YAML front matter and the title before the text."""
    head = [front_matter(run, tags, results), "", f"# {title or run.config.run.name}", ""]
    return "\n".join([*head, *body]).rstrip() + "\n"
