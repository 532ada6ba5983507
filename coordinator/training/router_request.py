"""`paris-coord train-router`: by the running service where there is one, else here and now."""

from __future__ import annotations

import time

from paris.coordinator.console import say
from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import is_served
from paris.coordinator.state.events import Event
from paris.coordinator.state.flags import FROM_DATA, FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.model import RouterState
from paris.coordinator.state.store import Store

_POLL_S = 0.5


def train_router_now(run: RunDir, *, from_samples: bool = False) -> None:
    """Train the run's router, and wait for its end.

    Args:
        run: A prepared run directory. While `serve` works on it, the service trains, so that nobody trains twice.
        from_samples: On rows that the experts have drawn (`router_samples.py`), instead of data.

    Raises:
        NotReadyError: The service could not train it; an earlier router is left as it was.
        ParisError: As training raises.
    """
    store = Store(run.state_file)
    try:
        if is_served(run):
            _ask_the_service(run, store, from_samples)
        else:
            _train_here(run, store, from_samples)
    finally:
        store.close()


def _ask_the_service(run: RunDir, store: Store, from_samples: bool) -> None:
    say("The running service trains the router.")
    store.raise_flag(ROUTER_FLAG, FROM_SAMPLES if from_samples else FROM_DATA)
    while store.has_flag(ROUTER_FLAG) or store.load().router.phase == "training":
        if not is_served(run):
            raise NotReadyError(
                "The service ended before the router was trained.", f"Start it: paris-coord serve {run.path}"
            )
        time.sleep(_POLL_S)
    router = store.load().router
    if router.phase != "done":
        raise NotReadyError(f"The router was not trained: {router.note}", f"See {run.logs / 'router.log'}")
    say(router.note)


def _train_here(run: RunDir, store: Store, from_samples: bool) -> None:
    from paris.coordinator.training.router import train_run_router

    summary = train_run_router(run, from_samples=from_samples)
    old, trained = store.load(), RouterState(phase="done", note=summary, from_samples=from_samples)
    store.save(old, old.with_router(trained), [Event("router", summary)], time.time())
    say(summary)
