"""The model card of a release: licence, how to load, who trained what, where the data comes from."""

from __future__ import annotations

from paris.coordinator.config import ObjectivesTable
from paris.coordinator.rundir import RunDir
from paris.protocol.records import Registration


def model_card(run: RunDir, registrations: list[Registration], licences: list[str]) -> str:
    """Write README.md for the model repo.

    Args:
        run: The run.
        registrations: One an expert, in order.
        licences: Lines of a table: how many pictures stand under which licence.

    Returns:
        Markdown with the Hub's YAML head.
    """
    config = run.config
    learned = ["flow-matching", *(["ddpm"] if config.objectives.epsilon_clusters else [])]
    experts = [f"expert:{r.cluster}" for r in registrations]
    tags = ["paris", "decentralized-training", "text-to-image", *learned, f"run:{run.run_id}", *experts]
    head = [
        "---",
        f"license: {config.run.licence}",
        "library_name: diffusers",
        "pipeline_tag: text-to-image",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "datasets:",
        f"- {config.hub.data_repo}",
        "---",
    ]
    sampling = config.sampling
    body = [
        f"# {config.run.name}",
        "",
        f"{len(registrations)} diffusion experts ({config.model.preset}), each trained alone by one volunteer on one",
        "cluster of the data, joined by a router when sampling. No gradient, weight or activation passed between them.",
        _learned(config.objectives),
        "",
        "```python",
        "from paris.experts import ParisPipeline",
        "",
        f'pipeline = ParisPipeline.from_pretrained("{config.hub.model_repo}")',
        f'pipeline("{(sampling.prompts or ["a red heart"])[0]}").images[0].save("sample.png")',
        "```",
        "",
        f"Defaults: {sampling.num_steps} steps, guidance {sampling.guidance_scale}, routing {sampling.routing}.",
        "",
        "| expert | steps | volunteer | sha256 |",
        "| --- | --- | --- | --- |",
        *(
            f"| {r.cluster} | {r.steps} | {r.volunteer_name} (`{r.volunteer[:12]}`) | `{r.sha256}` |"
            for r in registrations
        ),
        "",
        f"Run `{run.run_id}`, signed by `{run.identity.public_key}`. Data: `{config.hub.data_repo}`; the source,",
        "author and licence of every picture stand in `ATTRIBUTION.parquet`.",
        "",
        *licences,
        "",
        config.run.attribution,
    ]
    return "\n".join([*head, *body]).rstrip() + "\n"


def _learned(objectives: ObjectivesTable) -> str:
    """What the experts learned to predict, as a sentence."""
    if not objectives.epsilon_clusters:
        return "They learned to predict the velocity (flow matching)."
    numbers = ", ".join(str(cluster) for cluster in sorted(objectives.epsilon_clusters))
    return (
        f"Epsilon experts ({numbers}) learned to predict the noise (DDPM, {objectives.schedule} schedule), the others\n"
        "the velocity (flow matching); sampling asks all of them for velocities."
    )
