"""Model cards: licence, usage, experts and their volunteers, origin of the data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from paris.coordinator.decisions.credits import Credit
from paris.coordinator.prepare.rows.licences import licence_table
from paris.coordinator.release.sample import example_prompt
from paris.coordinator.run.config import RunConfig
from paris.coordinator.run.config_tables import ModelTable, ObjectivesTable, SamplingTable
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.shapes import expert_shape, smaller_shapes
from paris.experts.training.needs import num_parameters
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.run_records import Registration


def model_card(run: RunDir, registrations: list[Registration], contributors: Sequence[Credit] = ()) -> str:
    """Make README.md of a release.

    Args:
        run: The run.
        registrations: Of each expert, in order.
        contributors: The volunteers with their verified steps, the most first.

    Returns:
        Markdown with YAML front matter.
    """
    config, sampling = run.config, run.config.sampling
    learned = ["flow-matching", *(["ddpm"] if config.objectives.epsilon_clusters else [])]
    by_whom = "one volunteer" if config.leg_steps is None else "volunteers in turn"
    experts = [f"expert:{r.cluster}" for r in registrations]
    body = [
        f"# {config.run.name}",
        "",
        f"{len(registrations)} diffusion experts ({_sizes(config.model)}), each trained alone by {by_whom} on one",
        "cluster of the data, joined by a router when sampling. No gradient, weight or activation passed between them.",
        *([] if config.reads_text else ["They were trained without captions and take no prompt."]),
        _objective_lines(config.objectives),
        *_initial_weights_lines(config.model),
        "",
        *_usage(run, config.hub.model_repo, config.hub.endpoint),
        f"Defaults: {sampling.num_steps} steps, {_guidance(sampling)}, routing {sampling.routing}.",
        "",
        f"| expert | parameters | steps | {'volunteer' if config.leg_steps is None else 'last volunteer'} | sha256 |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {r.cluster} | {_parameters(config, r)} | {r.steps} | {r.volunteer_name} (`{r.volunteer[:12]}`) "
            f"| `{r.sha256}` |"
            for r in registrations
        ),
        "",
        *_contributor_lines(contributors),
        *_origin(run),
    ]
    return _page(run, [*learned, f"run:{run.run_id}", *experts], body)


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
        f"# {run.config.run.name}, distilled",
        "",
        f"One dense model ({run.config.model.preset}), distilled from {len(teachers)} experts in {steps} steps of",
        f"{batch_size} rows: each row was taught by the expert of its cluster. It samples without a router.",
        "",
        *_usage(run, folder, PUBLIC_ENDPOINT),
        "| teacher | sha256 |",
        "| --- | --- |",
        *(f"| {number} | `{sha256}` |" for number, sha256 in enumerate(teachers)),
        "",
        *_origin(run),
    ]
    return _page(run, ["flow-matching", "distilled", f"run:{run.run_id}"], body)


def _page(run: RunDir, tags: list[str], body: list[str]) -> str:
    """Put the Hub's YAML front matter before the text."""
    task = "text-to-image" if run.config.reads_text else "unconditional-image-generation"
    head = [
        "---",
        f"license: {run.config.run.licence}",
        # Not diffusers: the Hub would then show a snippet by DiffusionPipeline, which does not know this class.
        "library_name: paris-swarm",
        f"pipeline_tag: {task}",
        "tags:",
        *(f"- {tag}" for tag in ("paris", "decentralized-training", task, *tags)),
        "datasets:",
        f"- {run.config.hub.data_repo}",
        "---",
    ]
    return "\n".join([*head, *body]).rstrip() + "\n"


def _sizes(model: ModelTable) -> str:
    return f"{model.preset}, or smaller" if model.smaller else model.preset


def _parameters(config: RunConfig, registration: Registration) -> str:
    shapes = [expert_shape(config), *smaller_shapes(config)]
    return f"{num_parameters(shapes[registration.size or 0]):,}"


def _guidance(sampling: SamplingTable) -> str:
    if sampling.guidance_scale == 1.0:
        return "no guidance"
    return f"guidance {sampling.guidance_scale} away from the {sampling.guidance_away_from}"


def _contributor_lines(contributors: Sequence[Credit]) -> list[str]:
    if not contributors:
        return []
    return [
        "| contributor | verified steps | share | hours |",
        "| --- | --- | --- | --- |",
        *(
            f"| {c.name} (`{c.public_key[:12]}`) | {c.steps:,} | {c.share:.1%} | {c.seconds / 3600:.1f} |"
            for c in contributors
            if c.steps
        ),
        "",
    ]


def _usage(run: RunDir, model: str, endpoint: str) -> list[str]:
    """A program that draws a picture, for those who have installed this package."""
    prompt = example_prompt(run)
    other_hub = "" if endpoint == PUBLIC_ENDPOINT else f", endpoint={_quoted(endpoint)}"
    return [
        "With `paris-swarm` installed:",
        "",
        "```python",
        "from paris.experts import ParisPipeline",
        "",
        f"pipeline = ParisPipeline.from_pretrained({_quoted(model)}{other_hub})",
        f'pipeline({_quoted(prompt) if prompt else ""}).images[0].save("sample.png")',
        "```",
        "",
    ]


def _quoted(text: str) -> str:
    """A string literal of Python, which is also one of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _origin(run: RunDir) -> list[str]:
    """Origin and licences of run and data, and the attribution."""
    attribution = run.data / "attribution.parquet"
    return [
        f"Run `{run.run_id}`, signed by `{run.identity.public_key}`. Data: `{run.config.hub.data_repo}`; the source,",
        "author and licence of every picture are in `ATTRIBUTION.parquet`.",
        "",
        *([*licence_table(attribution), ""] if attribution.is_file() else []),
        run.config.run.attribution,
    ]


def _initial_weights_lines(model: ModelTable) -> list[str]:
    """Initial weights of the experts; no line if they were random."""
    if (steps := model.warm_start_steps) is not None:
        return [f"All started from one model, which the organiser trained on all clusters for {steps} steps."]
    if model.imagenet_weights is not None:
        return ["All started from a DiT that was trained on ImageNet."]
    return []


def _objective_lines(objectives: ObjectivesTable) -> str:
    """Prediction targets of the experts, as a sentence."""
    if not objectives.epsilon_clusters:
        return "They learned to predict the velocity (flow matching)."
    numbers = ", ".join(str(cluster) for cluster in sorted(objectives.epsilon_clusters))
    return (
        f"Epsilon experts ({numbers}) learned to predict the noise (DDPM, {objectives.schedule} schedule), the others\n"
        "the velocity (flow matching); sampling asks all of them for velocities."
    )
