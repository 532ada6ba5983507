"""The trained experts of a run, as local files: those of the release, or else the registered ones from the Hub.

registered/expert_0/diffusion_pytorch_model.safetensors  ...   downloaded and checked by sha256
"""

from __future__ import annotations

import logging
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
from paris.protocol.run_records import Registration
from paris.protocol.sizes import of_size

if TYPE_CHECKING:
    from paris.experts.release.layout_fields import Layout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedExperts:
    """All K experts of a run.

    Args:
        folder: Contains `expert_k/diffusion_pytorch_model.safetensors`.
        layout: Their architecture and objectives. Its routers are placeholders if there is no release.
        frozen_folder: Contains the files of text encoder and codec.
        digests: SHA-256 of each expert's file, in order.
    """

    folder: Path
    layout: Layout
    frozen_folder: Path
    digests: tuple[str, ...]


def fetch_trained_experts(run: RunDir) -> TrainedExperts:
    """Locate the experts of the release; without a release, download the registered ones.

    Args:
        run: A prepared run directory.

    Raises:
        NotReadyError: There is no release, and an expert is not registered.
        HubError: The Hub did not answer, or has other bytes than were registered.
        LayoutError: The release is damaged, or has another number of experts than the run.
    """
    if (run.release / "config.json").is_file():
        return _released_experts(run)
    state = read_state(run)
    registrations = all_registrations(run, state)
    layout = _layout(run, state)
    children = Children(run.logs)
    try:
        hub = connect_hub(run, children, start_embedded=not is_served(run))
        for registration in registrations:
            fetch_registered(run, hub, registration)
    finally:
        children.stop()
    return TrainedExperts(run.path / "registered", layout, run.data, tuple(r.sha256 for r in registrations))


def all_registrations(run: RunDir, state: State) -> list[Registration]:
    """The registration of each expert, in order.

    Raises:
        NotReadyError: An expert is not registered.
    """
    missing = [task_id for task_id, task in state.experts.items() if task.registration is None]
    if missing or not state.tasks:
        raise NotReadyError(
            f"Not registered yet: {', '.join(missing) or 'any task'}.", f"See paris-coord status {run.path}"
        )
    in_order = sorted(state.experts.values(), key=lambda task: task.task.cluster)
    return [task.registration for task in in_order if task.registration is not None]


def fetch_registered(run: RunDir, hub: RunHub, registration: Registration) -> Path:
    """Download an expert's file at the registered commit and check its sha256.

    Returns:
        The local file.

    Raises:
        HubError: The Hub did not answer, or has other bytes.
    """
    from paris.experts.files import file_sha256

    logger.info("Fetching %s at %s.", registration.path, registration.commit[:12])
    path = hub.download(registration.path, run.path / "registered", registration.commit)
    sha256 = file_sha256(path)
    if sha256 != registration.sha256:
        raise HubError(
            f"{registration.path} at {registration.commit[:12]} has sha256 {sha256[:12]}..., "
            f"but {registration.sha256[:12]}... was registered.",
            "The file on the Hub was changed after registration. Find out who changed it before you release.",
        )
    return path


def expert_layout_fields(run: RunDir, state: State) -> dict[str, Any]:
    """All fields of the run's `Layout` except those of the routers."""
    spec = make_spec(run, [])
    in_order = sorted(state.experts.values(), key=lambda t: t.task.cluster)
    sizes = [None if t.registration is None else t.registration.size for t in in_order]
    return {
        "name": spec.name,
        "dataset_name": spec.data_repo,
        "num_experts": spec.num_experts,
        "model": spec.model,
        "sizes": tuple(of_size(spec, size).model for size in sizes),
        "objectives": tuple(t.task.objective for t in in_order),
        "text": spec.text,
        "codec": spec.codec,
        "sampling": run.config.sampling.model_dump(exclude={"prompts", "seeds"}),
    }


def _layout(run: RunDir, state: State) -> Layout:
    from paris.experts.models.presets import ModelConfig
    from paris.experts.release.layout_fields import Layout
    from paris.experts.release.single import smallest_router

    fields = expert_layout_fields(run, state)
    router = smallest_router(ModelConfig.from_settings(fields["model"]), fields["num_experts"])
    return Layout.from_settings({**fields, "router": router})


def _released_experts(run: RunDir) -> TrainedExperts:
    from paris.experts.errors import LayoutError
    from paris.experts.files import file_sha256
    from paris.experts.release.layout import expert_path, read_layout

    layout, expected = read_layout(run.release), run.config.run.num_experts
    if layout.num_experts != expected:
        raise LayoutError(
            f"{run.release} has {layout.num_experts} experts, run.toml says {expected}.",
            f"Release again: paris-coord release {run.path}",
        )
    digests = tuple(file_sha256(expert_path(run.release, k)) for k in range(expected))
    return TrainedExperts(run.release, layout, run.release, digests)
