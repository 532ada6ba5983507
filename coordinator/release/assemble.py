"""`paris-coord release`: assemble the registered experts and the router into one model, and upload it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paris.coordinator.children import Children
from paris.coordinator.errors import NotReadyError
from paris.coordinator.model_repo.card import release_card
from paris.coordinator.model_repo.keeping import CARD_FILE
from paris.coordinator.model_repo.released import Released, write_released
from paris.coordinator.model_repo.tags import release_tag
from paris.coordinator.release.experts import all_registrations, expert_layout_fields, fetch_registered
from paris.coordinator.release.pictures import draw_pictures, remove_pictures
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.locks import hold_lock, is_served
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.state.leading import require_same_leader
from paris.coordinator.state.model import State
from paris.coordinator.state.reading import read_state
from paris.experts.files import copy_whole, write_whole
from paris.protocol.run_records import Registration


def release_run(run: RunDir, tag: str | None, tell: Callable[[str], None], *, draws: bool = True) -> str:
    """Assemble, check and publish a release, under a tag that follows from its files.

    Args:
        run: A run whose experts are all registered and whose router is trained.
        tag: A further tag of the commit on the Hub.
        tell: Receives what is done now, at each stage.
        draws: Draw the pictures of its card; without them the card has none.

    Returns:
        The tag.

    Raises:
        NotReadyError: Experts or the router are missing, or another release is being made; nothing is changed.
        HubError: The Hub did not answer, or has other bytes than were registered.
        DeposedError: Another coordinator took the lead meanwhile, and may make the release; nothing more is uploaded.
    """
    busy = NotReadyError("Another release of this run is being made.", "Wait for its end.")
    with hold_lock(run.path / "release.lock", busy):
        state = read_state(run)
        registrations = all_registrations(run, state)
        _require_router(run, state)
        require_lead = require_same_leader(run.state)
        children = Children(run.logs)
        try:
            hub = connect_hub(run, children, start_embedded=not is_served(run))
            hub = replace(hub, require_lead=require_lead)
            released = _assemble(run, hub, state, registrations, tell, draws=draws)
            tell("uploading")
            # The experts' weights are on main since their registration.
            weights = [registration.path for registration in registrations]
            publish_release(run, hub, released, weights, [released.tag, *([tag] if tag else [])])
        finally:
            children.stop()
    return released.tag


def publish_release(run: RunDir, hub: RunHub, released: Released, leave_out: list[str], tags: list[str]) -> None:
    """Upload the release folder. Its record comes first: by it `serve` leaves the card that is uploaded alone.

    Args:
        run: Its release folder is complete.
        hub: Its repos.
        released: What is released.
        leave_out: Paths that are on main already.
        tags: Of the commit, with that of the release.

    Raises:
        HubError: The Hub refused, or did not answer; to be called again. The record stays.
    """
    write_released(run, released)
    hub.upload_release(run.release, leave_out, tags)


def _require_router(run: RunDir, state: State) -> None:
    if (run.router / "summary.txt").is_file():
        return
    train = f"paris-coord train-router {run.path}"
    if state.router.phase == "done":
        what = f"The router was trained, but is not in {run.router}."
        raise NotReadyError(what, f"Copy that folder from the coordinator's machine that trained it, or run: {train}")
    raise NotReadyError("The router is not trained yet.", f"Run: {train}")


def _assemble(
    run: RunDir,
    hub: RunHub,
    state: State,
    registrations: list[Registration],
    tell: Callable[[str], None],
    *,
    draws: bool,
) -> Released:
    """Write the release folder, load it once as a check, and draw from it."""
    from paris.experts.release.layout import write_layout
    from paris.experts.release.layout_fields import Layout
    from paris.experts.release.model import load_model

    weights = []
    for number, registration in enumerate(registrations, 1):
        tell(f"fetching expert {number} of {len(registrations)}")
        weights.append(fetch_registered(run, hub, registration))
    tell("assembling")
    layout = Layout.from_settings(_layout_fields(run, state))
    prompt_router = run.router / "prompt_router.safetensors" if layout.prompt_router else None
    write_layout(run.release, layout, weights, run.router / "pytorch_model.safetensors", run.data, prompt_router)
    copy_whole(run.data / "attribution.parquet", run.release / "ATTRIBUTION.parquet")
    model = load_model(run.release)
    tag = release_tag(run.release, {registration.path: registration.sha256 for registration in registrations})
    if draws:
        tell("drawing the pictures of its card")
    pictures = draw_pictures(run, model) if draws else remove_pictures(run)
    write_whole(run.release / CARD_FILE, release_card(run, state, tag, pictures).encode())
    return Released(tag=tag, experts=tuple(registration.sha256 for registration in registrations))


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
