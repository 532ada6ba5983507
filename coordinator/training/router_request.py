"""`paris-coord train-router`: by the running service if there is one, else in this process."""

from __future__ import annotations

import time
from dataclasses import replace

from paris.coordinator.console import say
from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import is_served
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.flags import FROM_DATA, FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.model import RouterState
from paris.coordinator.state.reading import open_store
from paris.coordinator.state.store import Store

_POLL_S = 0.5


def request_router(run: RunDir, *, from_samples: bool = False) -> None:
    """Have the router trained, and wait until it is.

    While `serve` runs on the directory, the service trains it, so that it is never trained twice at the same time.

    Args:
        run: A prepared run directory.
        from_samples: Train on samples of the experts, drawn before by `draw_samples`, instead of the data.

    Raises:
        NotReadyError: The service failed to train it; an earlier router is left unchanged.
        ParisError: As `run_router_job`.
    """
    store = open_store(run)
    try:
        if is_served(run):
            _request_from_service(run, store, from_samples)
        else:
            _run_in_this_process(run, store, from_samples)
    finally:
        store.close()


def _request_from_service(run: RunDir, store: Store, from_samples: bool) -> None:
    say("The running service trains the router.")
    store.set_flag(ROUTER_FLAG, FROM_SAMPLES if from_samples else FROM_DATA)
    while store.flag(ROUTER_FLAG) is not None or store.load().router.phase == "training":
        if not is_served(run):
            raise NotReadyError(
                "The service stopped before the router was trained.", f"Start it: paris-coord serve {run.path}"
            )
        time.sleep(_POLL_S)
    router = store.load().router
    if router.phase != "done":
        raise NotReadyError(f"Router training failed: {router.note}", f"See {run.logs / 'router.log'}")
    say(router.note)


def _run_in_this_process(run: RunDir, store: Store, from_samples: bool) -> None:
    from paris.coordinator.training.router import run_router_job

    summary = run_router_job(run, from_samples=from_samples)
    old, trained = store.load(), RouterState(phase="done", note=summary, from_samples=from_samples)
    store.save(old, replace(old, router=trained), [Event(EventKind.ROUTER, summary)], time.time())
    say(summary)
