"""`paris-coord release`: one sampleable model from the registered experts and the router, here and on the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from paris.coordinator.card import model_card
from paris.coordinator.children import Children
from paris.coordinator.errors import HubError, NotReadyError
from paris.coordinator.hub_client import RunHub, expert_path
from paris.coordinator.prepare.licences import licence_table
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.serving import connect_hub, is_served
from paris.coordinator.spec import make_spec
from paris.coordinator.state import State
from paris.coordinator.store import Store
from paris.protocol.records import Registration


def release_run(run: RunDir, tag: str | None) -> str:
    """Assemble, check and publish a release.

    Args:
        run: A run whose tasks are all registered and whose router is trained.
        tag: Tag of the released commit on the Hub; None for none.

    Returns:
        Where it is: folder and repo.

    Raises:
        NotReadyError: Experts or the router are missing; nothing is changed.
        HubError: The Hub did not answer, or holds other bytes than were registered.
    """
    state = _complete_state(run)
    children = Children(run.logs)
    try:
        hub = connect_hub(run, children, start_embedded=not is_served(run))
        _assemble(run, hub, state)
        with_tag = _publish(run, hub, tag)
    finally:
        children.stop()
    return f"{run.release} and {hub.model_repo} at {with_tag}"


def _complete_state(run: RunDir) -> State:
    store = Store(run.state_file)
    try:
        state = store.load()
    finally:
        store.close()
    missing = [task_id for task_id, task in state.tasks.items() if task.registration is None]
    if missing or not state.tasks:
        raise NotReadyError(
            f"Not registered yet: {', '.join(missing) or 'any task'}.", f"See paris-coord status {run.path}"
        )
    if not (run.router / "summary.txt").is_file():
        raise NotReadyError("The router is not trained yet.", f"Run: paris-coord train-router {run.path}")
    return state


def _assemble(run: RunDir, hub: RunHub, state: State) -> None:
    """Write the release folder from the registered bytes, and load it once as a user would."""
    from paris.experts.release.layout import write_layout
    from paris.experts.release.layout_fields import Layout
    from paris.experts.release.parts import load_parts

    registrations = [task.registration for task in sorted(state.tasks.values(), key=lambda t: t.task.cluster)]
    found = [_registered_file(run, hub, r) for r in registrations if r is not None]
    layout = Layout.from_settings(_layout_fields(run, state))
    prompt_router = run.router / "prompt_router.safetensors"
    write_layout(run.release, layout, found, run.router / "pytorch_model.safetensors", run.data, prompt_router)
    attribution = run.data / "attribution.parquet"
    card = model_card(run, [r for r in registrations if r is not None], licence_table(attribution))
    write_whole(run.release / "README.md", card.encode())
    shutil.copyfile(attribution, run.release / "ATTRIBUTION.parquet")
    load_parts(run.release)


def _registered_file(run: RunDir, hub: RunHub, registration: Registration) -> Path:
    """The expert's file, fetched from the registered commit, with the registered digest."""
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


def _layout_fields(run: RunDir, state: State) -> dict[str, Any]:
    import json

    from paris.experts.release.layout import read_router

    spec = make_spec(run, [])
    prompt_fields = json.loads((run.router / "prompt_router.json").read_text("utf-8"))
    return {
        "name": spec.name,
        "dataset_name": spec.data_repo,
        "num_experts": spec.num_experts,
        "model": spec.model,
        "objectives": tuple(t.task.objective for t in sorted(state.tasks.values(), key=lambda t: t.task.cluster)),
        "router": read_router(run.router).config.to_settings(),
        "text": spec.text,
        "codec": spec.codec,
        "prompt_router": prompt_fields,
        "sampling": run.config.sampling.model_dump(exclude={"prompts", "seeds"}),
    }


def _publish(run: RunDir, hub: RunHub, tag: str | None) -> str:
    """Upload all but the experts' weights, which stand on main since their registration; tag the commit."""
    weights = [expert_path(k) for k in range(run.config.run.num_experts)]
    return hub.upload_release(run.release, weights, tag)
