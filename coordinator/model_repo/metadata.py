"""The YAML of a card, as the Hub reads it: licence, tags, and measured values as its model index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paris.coordinator.prepare.rows.licences import has_hub_name
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.state.model import State

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def front_matter(run: RunDir, tags: Sequence[str], results: Sequence[EvalResult] = ()) -> str:
    """The lines between the two `---`, with them.

    Args:
        run: The run.
        tags: Beside those that all cards of a run have.
        results: Measured values; none leaves the model index out.
    """
    from huggingface_hub import ModelCardData

    task = task_of(run)
    licence, licence_name = _licence(run.config.run.licence)
    data = ModelCardData(
        license=licence,
        license_name=licence_name,
        # Not diffusers: the Hub would then show a snippet by DiffusionPipeline, which does not know this class.
        library_name="paris-swarm",
        pipeline_tag=task,
        tags=["paris", "decentralized-training", task, f"run:{run.run_id}", *tags],
        datasets=[run.config.hub.data_repo],
        model_name=run.config.run.name if results else None,
        eval_results=list(results) or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def task_of(run: RunDir) -> str:
    """The Hub's name of what the model does."""
    return "text-to-image" if run.config.reads_text else "unconditional-image-generation"


def measured(run: RunDir, state: State) -> list[EvalResult]:
    """What was measured on held-out rows: each registered expert's skill, and the router's accuracy.

    Raises:
        RunDirError: The router's report is damaged.
    """
    from huggingface_hub import EvalResult

    common: dict[str, Any] = {
        "task_type": task_of(run),
        "dataset_type": run.config.hub.data_repo,
        "dataset_split": "held-out",
    }
    found = []
    for task_id, task in sorted(state.experts.items(), key=lambda item: item[1].task.cluster):
        known = state.submissions.get(task.registration.lease_id) if task.registration else None
        rungs = known.verdict.rungs if known is not None and known.verdict is not None else ()
        cluster: dict[str, Any] = {
            "dataset_name": f"cluster {task.task.cluster}",
            "dataset_config": f"cluster-{task.task.cluster:03d}",
        }
        name = f"{task_id}: fall of the loss against the initial weights"
        found += [
            EvalResult(**common, **cluster, metric_type="skill", metric_name=name, metric_value=rung.figure)
            for rung in rungs
            if rung.rung == "skill"
        ]
    report = run.router / "report.json"
    if state.router.phase == "done" and report.is_file():
        accuracy = read_object(report, f"Train the router again: paris-coord train-router {run.path}").get("accuracy")
        if isinstance(accuracy, float):
            name = f"router: names the cluster, over all noise levels (chance {1 / max(1, len(state.experts)):.2g})"
            value: dict[str, Any] = {"metric_type": "accuracy", "metric_name": name, "metric_value": round(accuracy, 4)}
            found.append(EvalResult(**common, dataset_name="all clusters", **value))
    return found


def _licence(name: str) -> tuple[str, str | None]:
    """One of the Hub's licences, and the name of another one: the public Hub refuses what it does not know."""
    if has_hub_name(name):
        return name, None
    return "other", re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-") or "other"
