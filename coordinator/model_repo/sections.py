"""Sections of the cards, each as lines of Markdown. Names of strangers are code spans, in which nothing is markup."""

from __future__ import annotations

import json
from collections.abc import Sequence

from paris.coordinator.model_repo.tags import address_of, expert_tag
from paris.coordinator.prepare.rows.licences import licence_table
from paris.coordinator.run.config import RunConfig
from paris.coordinator.run.config_tables import HubTable, ModelTable, ObjectivesTable, SamplingTable
from paris.coordinator.run.directory import RunDir, public_join_command
from paris.coordinator.run.prepared_data import example_prompt
from paris.coordinator.run.shapes import expert_shape, smaller_shapes
from paris.coordinator.state.credits import Credit
from paris.coordinator.state.model import State, SubmissionState, TaskState
from paris.experts.training.needs import num_parameters
from paris.protocol.hub_layout import PUBLIC_ENDPOINT, STATE_FILES
from paris.protocol.printable import on_one_line


def what_it_is(config: RunConfig, num_experts: int) -> list[str]:
    """One paragraph on the model."""
    by_whom = "one volunteer" if config.leg_steps is None else "volunteers in turn"
    return [
        f"{num_experts} diffusion experts ({_sizes(config.model)}), each trained alone by {by_whom} on one",
        "cluster of the data, joined by a router when sampling. No gradient, weight or activation passes between them.",
        *([] if config.reads_text else ["They are trained without captions and take no prompt."]),
        _objectives(config.objectives),
        *_initial_weights(config.model),
    ]


def how_to_join(run: RunDir, state: State) -> list[str]:
    """The command of a volunteer, or that none is needed any more."""
    if state.is_complete:
        return ["All experts are registered; there is nothing left to train."]
    invited = ["", "The organiser invites volunteers: add `--invite` and the invite that you were sent."]
    return [
        "With `paris-swarm` installed, one machine joins by one command, and continues by the same one:",
        "",
        "```sh",
        public_join_command(run.config),
        "```",
        *(invited if run.config.tasks.allowed_only else []),
    ]


def how_to_use(run: RunDir, model: str, endpoint: str, revision: str | None = None) -> list[str]:
    """A program that draws a picture.

    Args:
        run: The run.
        model: A repo, or a folder.
        endpoint: Of the repo's Hub.
        revision: Tag of the repo; None: its main branch.
    """
    prompt = example_prompt(run)
    options = f", revision={_quoted(revision)}" if revision else ""
    options += "" if endpoint == PUBLIC_ENDPOINT else f", endpoint={_quoted(endpoint)}"
    return [
        "With `paris-swarm` installed:",
        "",
        "```python",
        "from paris.experts import ParisPipeline",
        "",
        f"pipeline = ParisPipeline.from_pretrained({_quoted(model)}{options})",
        f'pipeline({_quoted(prompt) if prompt else ""}).images[0].save("sample.png")',
        "```",
    ]


def defaults(sampling: SamplingTable) -> str:
    """The release's sampling settings, as a sentence."""
    guidance = f"guidance {sampling.guidance_scale} away from the {sampling.guidance_away_from}"
    guidance = "no guidance" if sampling.guidance_scale == 1.0 else guidance
    return f"Defaults: {sampling.num_steps} steps, {guidance}, routing {sampling.routing}."


def verified_share(state: State) -> float:
    """Verified steps as a share of those of all experts."""
    tasks = state.experts.values()
    return sum(map(_verified_steps, tasks)) / max(1, sum(task.task.steps for task in tasks))


def expert_table(run: RunDir, state: State) -> list[str]:
    """A row for each expert: its verified steps, who trained it, and where on the Hub it is."""
    rows = sorted(state.experts.values(), key=lambda task: task.task.cluster)
    return [
        "| expert | verified steps | parameters | last volunteer | revision | sha256 | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_expert_row(run.config, state, task) for task in rows),
    ]


def contributor_table(contributors: Sequence[Credit]) -> list[str]:
    """The volunteers with verified steps, the most first."""
    return [
        "| contributor | verified steps | share | hours |",
        "| --- | --- | --- | --- |",
        *(
            f"| {_named(c.name, c.public_key)} | {c.steps:,} | {c.share:.1%} | {c.seconds / 3600:.1f} |"
            for c in contributors
            if c.steps
        ),
    ]


def origin(run: RunDir, attribution_file: str) -> list[str]:
    """Origin and licences of run and data, and the attribution.

    Args:
        run: The run.
        attribution_file: Where the source of each picture is listed, in words.
    """
    attribution = run.data / "attribution.parquet"
    return [
        f"Run `{run.run_id}`, signed by `{run.identity.public_key}`. Data: `{run.config.hub.data_repo}`; the source,",
        f"author and licence of every picture are in {attribution_file}.",
        "",
        *([*licence_table(attribution), ""] if attribution.is_file() else []),
        run.config.run.attribution,
    ]


def revision_link(hub: HubTable, tag: str) -> str:
    """A tag, with the address of its files."""
    return f"[`{tag}`]({address_of(hub, tag)})"


def _expert_row(config: RunConfig, state: State, task: TaskState) -> str:
    done, head = task.registration, task.task.head
    lease_id = done.lease_id if done is not None else task.head_lease_id
    known = state.submissions.get(lease_id or "")
    steps = _verified_steps(task)
    sha256 = done.sha256 if done is not None else "" if head is None else head.files[STATE_FILES.index(_EMA)].sha256
    size = done.size if done is not None else None if head is None else head.size
    shapes = [expert_shape(config), *smaller_shapes(config)]
    cells = [
        str(task.task.cluster),
        f"{steps:,} of {task.task.steps:,}",
        f"{num_parameters(shapes[size or 0]):,}" if steps else "",
        _named(known.submission.name, known.signer) if known is not None else "",
        revision_link(config.hub, expert_tag(task.task.task_id, steps)) if steps else "",
        f"`{sha256}`" if sha256 else "",
        _verdict(config.hub, known),
    ]
    return f"| {' | '.join(cells)} |"


_EMA = "ema.safetensors"


def _verified_steps(task: TaskState) -> int:
    if task.registration is not None:
        return task.registration.steps
    return 0 if task.task.head is None else task.task.head.step


def _verdict(hub: HubTable, known: SubmissionState | None) -> str:
    """Accepted, with the address of the pull request where the verdict is, and the rungs."""
    if known is None or known.verdict is None:
        return ""
    rungs = ", ".join(rung.rung for rung in known.verdict.rungs if rung.passed)
    address = f"{hub.endpoint}/{hub.model_repo}/discussions/{known.submission.pull_request}"
    return f"[accepted]({address}): {rungs}" if rungs else f"[accepted]({address})"


def _named(name: str, public_key: str) -> str:
    shown = on_one_line(name).translate({ord("`"): "'", ord("|"): "/"}) or "unnamed"
    return f"`{shown}` (`{public_key[:12]}`)"


def _sizes(model: ModelTable) -> str:
    return f"{model.preset}, or smaller" if model.smaller else model.preset


def _quoted(text: str) -> str:
    """A string literal of Python, which is also one of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _initial_weights(model: ModelTable) -> list[str]:
    """Initial weights of the experts; no line if they were random."""
    if (steps := model.warm_start_steps) is not None:
        return [f"All started from one model, which the organiser trained on all clusters for {steps} steps."]
    if model.imagenet_weights is not None:
        return ["All started from a DiT that was trained on ImageNet."]
    return []


def _objectives(objectives: ObjectivesTable) -> str:
    """Prediction targets of the experts, as a sentence."""
    if not objectives.epsilon_clusters:
        return "They learn to predict the velocity (flow matching)."
    numbers = ", ".join(str(cluster) for cluster in sorted(objectives.epsilon_clusters))
    return (
        f"Epsilon experts ({numbers}) learn to predict the noise (DDPM, {objectives.schedule} schedule), the others\n"
        "the velocity (flow matching); sampling asks all of them for velocities."
    )
