"""`paris-coord release`: assemble the registered experts and the router into one model, and upload it."""

from __future__ import annotations

from typing import Any

from paris.coordinator.children import Children
from paris.coordinator.decisions.credits import credits_of
from paris.coordinator.errors import NotReadyError
from paris.coordinator.release.card import model_card
from paris.coordinator.release.experts import all_registrations, expert_layout_fields, fetch_registered
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.locks import is_served
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.state.model import State
from paris.coordinator.state.reading import read_state
from paris.experts.files import copy_whole, write_whole
from paris.protocol.hub_layout import expert_path
from paris.protocol.run_records import Registration


def release_run(run: RunDir, tag: str | None) -> str:
    """Assemble, check and publish a release.

    Args:
        run: A run whose experts are all registered and whose router is trained.
        tag: Tag of the commit on the Hub; None sets none.

    Returns:
        One phrase that names folder, repo and commit, for the terminal.

    Raises:
        NotReadyError: Experts or the router are missing; nothing is changed.
        HubError: The Hub did not answer, or has other bytes than were registered.
    """
    state = read_state(run)
    registrations = all_registrations(run, state)
    _require_router(run)
    children = Children(run.logs)
    try:
        hub = connect_hub(run, children, start_embedded=not is_served(run))
        _assemble(run, hub, state, registrations)
        revision = _upload(run, hub, tag)
    finally:
        children.stop()
    return f"{run.release} and {hub.model_repo} at {revision}"


def _require_router(run: RunDir) -> None:
    if not (run.router / "summary.txt").is_file():
        raise NotReadyError("The router is not trained yet.", f"Run: paris-coord train-router {run.path}")


def _assemble(run: RunDir, hub: RunHub, state: State, registrations: list[Registration]) -> None:
    """Write the release folder and load it once, as a check."""
    from paris.experts.release.layout import write_layout
    from paris.experts.release.layout_fields import Layout
    from paris.experts.release.model import load_model

    weights = [fetch_registered(run, hub, registration) for registration in registrations]
    layout = Layout.from_settings(_layout_fields(run, state))
    prompt_router = run.router / "prompt_router.safetensors" if layout.prompt_router else None
    write_layout(run.release, layout, weights, run.router / "pytorch_model.safetensors", run.data, prompt_router)
    write_whole(run.release / "README.md", model_card(run, registrations, credits_of(state)).encode())
    copy_whole(run.data / "attribution.parquet", run.release / "ATTRIBUTION.parquet")
    load_model(run.release)


def _layout_fields(run: RunDir, state: State) -> dict[str, Any]:
    from paris.experts.release.layout import read_router

    prompts = run.router / "prompt_router.json"
    return {
        **expert_layout_fields(run, state),
        "router": read_router(run.router).config.to_settings(),
        "prompt_router": read_object(prompts, f"Train the router again: paris-coord train-router {run.path}")
        if prompts.is_file()
        else None,
    }


def _upload(run: RunDir, hub: RunHub, tag: str | None) -> str:
    """Upload everything except the experts' weights, which are on main since their registration."""
    weights = [expert_path(k) for k in range(run.config.run.num_experts)]
    return hub.upload_release(run.release, weights, tag)
