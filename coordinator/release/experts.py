"""The run's experts as a folder, for what learns from them: distillation, and a router of their samples.

Those of the release, where one is made; else the registered files, fetched from the Hub and checked:

registered/expert_0/diffusion_pytorch_model.safetensors  ...
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.children import Children
from paris.coordinator.errors import HubError, NotReadyError
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import is_served
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.state.model import State
from paris.coordinator.state.reading import read_state
from paris.protocol.records import Registration

if TYPE_CHECKING:
    from paris.experts.release.layout_fields import Layout


@dataclass(frozen=True)
class TrainedExperts:
    """All K experts of a run.

    Args:
        folder: Holds `expert_k/diffusion_pytorch_model.safetensors`.
        layout: What they are; its router and prompt router count for nothing here.
        parts: Where text encoder and codec are.
        digests: SHA-256 of each expert's file, in order.
    """

    folder: Path
    layout: Layout
    parts: Path
    digests: tuple[str, ...]


def trained_experts(run: RunDir) -> TrainedExperts:
    """Find a run's experts, and fetch them where no release is made yet.

    Args:
        run: A prepared run directory.

    Raises:
        NotReadyError: There is no release, and not every expert is registered.
        HubError: The Hub did not answer, or holds other bytes than were registered.
        LayoutError: The release is damaged, or of another number of experts than the run.
    """
    if (run.release / "config.json").is_file():
        return _released(run)
    state = read_state(run)
    registrations = all_registrations(run, state)
    layout = _layout(run, state)
    children = Children(run.logs)
    try:
        hub = connect_hub(run, children, start_embedded=not is_served(run))
        for registration in registrations:
            registered_file(run, hub, registration)
    finally:
        children.stop()
    return TrainedExperts(run.path / "registered", layout, run.data, tuple(r.sha256 for r in registrations))


def all_registrations(run: RunDir, state: State) -> list[Registration]:
    """One an expert, in order.

    Raises:
        NotReadyError: An expert is not registered.
    """
    missing = [task_id for task_id, task in state.tasks.items() if task.registration is None]
    if missing or not state.tasks:
        raise NotReadyError(
            f"Not registered yet: {', '.join(missing) or 'any task'}.", f"See paris-coord status {run.path}"
        )
    in_order = sorted(state.tasks.values(), key=lambda task: task.task.cluster)
    return [task.registration for task in in_order if task.registration is not None]


def registered_file(run: RunDir, hub: RunHub, registration: Registration) -> Path:
    """An expert's file, fetched from the registered commit, with the registered digest.

    Raises:
        HubError: The Hub did not answer, or holds other bytes.
    """
    from paris.experts.files import file_sha256

    path = hub.download(registration.path, run.path / "registered", registration.commit)
    sha256 = file_sha256(path)
    if sha256 != registration.sha256:
        raise HubError(
            f"{registration.path} at {registration.commit[:12]} has sha256 {sha256[:12]}..., "
            f"registered was {registration.sha256[:12]}...",
            "The Hub's copy was changed after registration: find out by whom before you release.",
        )
    return path


def experts_fields(run: RunDir, state: State) -> dict[str, Any]:
    """Fields of the `Layout` that follow from run and registrations: all but the routers'."""
    spec = make_spec(run, [])
    return {
        "name": spec.name,
        "dataset_name": spec.data_repo,
        "num_experts": spec.num_experts,
        "model": spec.model,
        "objectives": tuple(t.task.objective for t in sorted(state.tasks.values(), key=lambda t: t.task.cluster)),
        "text": spec.text,
        "codec": spec.codec,
        "sampling": run.config.sampling.model_dump(exclude={"prompts", "seeds"}),
    }


def _layout(run: RunDir, state: State) -> Layout:
    from paris.experts.models.presets import ModelConfig
    from paris.experts.release.layout_fields import Layout
    from paris.experts.release.single import smallest_router

    fields = experts_fields(run, state)
    router = smallest_router(ModelConfig.from_settings(fields["model"]), fields["num_experts"])
    return Layout.from_settings({**fields, "router": router})


def _released(run: RunDir) -> TrainedExperts:
    from paris.experts.errors import LayoutError
    from paris.experts.files import file_sha256
    from paris.experts.release.layout import expert_path, read_layout

    layout, wanted = read_layout(run.release), run.config.run.num_experts
    if layout.num_experts != wanted:
        raise LayoutError(
            f"{run.release} has {layout.num_experts} experts, run.toml says {wanted}.",
            f"Release again: paris-coord release {run.path}",
        )
    digests = tuple(file_sha256(expert_path(run.release, k)) for k in range(wanted))
    return TrainedExperts(run.release, layout, run.release, digests)
