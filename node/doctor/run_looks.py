"""The run that RUN names, and whether this machine can hold one of its tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from paris.experts.models.presets import ModelConfig
from paris.experts.training.needs import least_memory_bytes
from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.errors import TaskTooBigError, TrainerError
from paris.node.hub.tokens import hub_token
from paris.node.join.resolve import resolve
from paris.node.machine.hardware import Hardware, gib, require_fit
from paris.node.view.words import duration_in_words
from paris.protocol.errors import VersionError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.printable import on_one_line
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.secrets import TokenError
from paris.protocol.sizes import of_size, sizes_of
from paris.protocol.version import require_software


def run(known: Known) -> Iterator[Finding]:
    """Resolve RUN, and compare its key with the pinned one and its least version with this one."""
    address = known.address = resolve(
        known.run or "", home=known.home, config=known.config, run_id=known.run_id, token=_token(known)
    )
    spec = known.spec = address.spec
    peers = f"peers to join by: {len(address.initial_peers)}"
    if spec is None:
        yield fine("run", f"{address.run_id}, as --run says; {peers}")
        return
    if (known.home.run_folder(spec.run_id) / "coordinator.pub").exists():
        known.home.pin(spec.run_id, spec.signer)  # only compares: there is a pin
    text = f"{spec.run_id} ({on_one_line(spec.payload.name)}), {peers}, Hub {on_one_line(spec.payload.hub_endpoint)}"
    age_s = time.time() - spec.expires_at
    if age_s > 0:
        yield warning(
            "run",
            f"{text}. This description expired {duration_in_words(age_s)} ago.",
            "Join asks the peers for a newer one; without them, ask the organiser.",
        )
    else:
        yield fine("run", text)
    try:
        require_software(spec.payload.min_node_version)
    except VersionError as error:
        yield problem("run", error.what, error.next_step)


def fit(known: Known) -> Iterator[Finding]:
    """Whether a task of the run, in one of its sizes, fits into this machine's memory and disk."""
    if known.spec is None or known.hardware is None:
        return
    spec, tasks = known.spec.payload, known.open_tasks or known.tasks
    if tasks:
        known.candidate, refusal = _first_that_fits(spec, tasks, known.hardware)
    else:
        known.candidate, refusal = _by_shape(spec, known.hardware)
    if refusal is not None:
        yield problem("fit", refusal.what, refusal.next_step)
        return
    task, size = known.candidate or (None, None)
    which = "an expert" if task is None else task.task_id
    smaller = f" in the run's smaller size {size}" if size else ""
    yield fine("fit", f"{which} fits into this machine{smaller}")


def _first_that_fits(
    spec: RunSpec, tasks: list[Task], hardware: Hardware
) -> tuple[tuple[Task, int] | None, TaskTooBigError | TrainerError | None]:
    refusal: TaskTooBigError | TrainerError | None = None
    for task in tasks:
        for size in sizes_of(task):
            try:
                require_fit(task, spec, hardware, size)
            except (TaskTooBigError, TrainerError) as error:
                refusal = refusal or error
            else:
                return (task, size), None
    return None, refusal


def _by_shape(spec: RunSpec, hardware: Hardware) -> tuple[tuple[None, int] | None, TaskTooBigError | None]:
    """As `_first_that_fits`, where no task is known: by the model's shape alone.

    Raises:
        ExpertError: No version of this software can build the model.
    """
    least = 0
    for size in range(1 + len(spec.smaller or ())):
        least = least_memory_bytes(ModelConfig.from_settings(of_size(spec, size).model))
        if least <= hardware.memory_bytes:
            return (None, size), None
    what = f"An expert needs {gib(least)} of memory, this machine ({hardware.label}) has {gib(hardware.memory_bytes)}."
    return None, TaskTooBigError(what, "Join a run with a smaller model, or use a machine with more room.")


def _token(known: Known) -> str | None:
    """For `org/repo` of a Hub; an unusable one is the matter of the look at the token."""
    try:
        return hub_token(known.home.path, known.config, os.environ, known.config.hub_endpoint or PUBLIC_ENDPOINT)
    except TokenError:
        return None
