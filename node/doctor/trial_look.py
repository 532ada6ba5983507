"""One training step of the run's model on this machine, in a process of its own, and what a leg would take."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any, cast

from paris.experts.models.presets import model_preset
from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.machine.hardware import Hardware
from paris.node.view.words import duration_in_words
from paris.node.work.order import machine_settings
from paris.protocol.lifeline import child_environment
from paris.protocol.printable import on_one_line
from paris.protocol.secrets import redact
from paris.protocol.sizes import of_size

TRIAL_LIMIT_S = 180.0
"""Longest trial, the import of torch included."""
_PROCESS = "paris.node.doctor.trial_process"
_PRESET, _ROWS = "dit-tiny-4", 32
"""What is trained where no run, or no task of it, says."""
_SLOW = "Try again when the machine is less busy, or join a run with a smaller model."
_REPAIR = "Install torch's build for this machine's driver, or join with --device cpu."


def trial(known: Known) -> Iterator[Finding]:
    """Compute on the device, and take a training step, with a check of both."""
    if known.hardware is None or (known.run is not None and known.candidate is None):
        return  # an earlier finding says why
    answers = _answers(_order(known, known.hardware))
    if "torch" in answers:
        yield fine("torch", f"{answers['torch']}, computes right on {known.hardware.device}")
    if "refusal" in answers:
        name = "training" if "torch" in answers else "torch"
        yield problem(name, on_one_line(answers["refusal"]), answers.get("next_step") or _REPAIR)
    elif "step_s" in answers:
        yield _speed(known, answers)


def _order(known: Known, hardware: Hardware) -> dict[str, Any]:
    """What the process is to do, as data."""
    task, size = known.candidate or (None, None)
    spec = of_size(known.spec.payload, size) if known.spec else None
    own = model_preset(_PRESET)
    text = {"kind": "vocabulary", "dim": own.text_embed_dim, "max_tokens": own.max_text_tokens}
    training = {**(spec.training if spec else {}), "steps": 1, "batch_size": task.batch_size if task else _ROWS}
    machine = {name: value for name, value in machine_settings(known.config, hardware).items() if name != "compile"}
    return {
        "model": spec.model if spec else own.to_settings(),
        "training": {**training, "objective": task.objective if task else {}},
        "text": spec.text if spec else text,
        "device": hardware.device,
        "memory_bytes": hardware.memory_bytes,
        "threads": known.config.threads,
        "nice": known.config.nice,
        "machine": machine,
    }


def _answers(order: dict[str, Any]) -> dict[str, Any]:
    """What the process says, put together; why it ended where it did not say all."""
    environ = {name: value for name, value in child_environment().items() if "TOKEN" not in name}
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", _PROCESS]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, env=environ) as process:
            timer = threading.Timer(TRIAL_LIMIT_S, process.kill)
            timer.start()
            try:
                said = _told(process, order)
            finally:
                was_late = not timer.is_alive()
                with contextlib.suppress(OSError):  # closing flushes into a pipe without a reader
                    cast(IO[bytes], process.stdin).close()
                timer.cancel()
                process.kill()
        if "step_s" in said or "refusal" in said:
            return said
        log.seek(0)
        lines = log.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
    if was_late:
        what, next_step = f"No step ended within {TRIAL_LIMIT_S:.0f} s, with torch loaded and the model built.", _SLOW
        return {**said, "refusal": what, "next_step": next_step}
    what = f"The process ended with code {process.returncode}: {lines[-1] if lines else 'it wrote nothing'}"
    return {**said, "refusal": redact(what)}


def _told(process: subprocess.Popen[bytes], order: dict[str, Any]) -> dict[str, Any]:
    """The fields of all lines up to the end of its output."""
    said: dict[str, Any] = {}
    with contextlib.suppress(OSError):  # it has ended, and its log says why
        sink = cast(IO[bytes], process.stdin)
        sink.write(f"{json.dumps(order)}\n".encode())
        sink.flush()
    for line in cast(IO[bytes], process.stdout):
        with contextlib.suppress(ValueError):  # a library's print
            found = json.loads(line)
            said |= found if isinstance(found, dict) else {}
    process.wait()
    return said


def _speed(known: Known, answers: dict[str, Any]) -> Finding:
    """How long a step takes, and with it the run's usual leg."""
    rows, batch = int(answers["rows"]), int(answers["batch_size"])
    step_s = float(answers["step_s"]) * batch / rows
    measured = f" (measured with {rows})" if rows < batch else ""
    text = f"a step of {batch} rows takes {step_s:.3g} s{measured}"
    task = known.candidate[0] if known.candidate else None
    if known.spec is None:
        return fine("training", f"{text}, of the small model {_PRESET}")
    steps = known.spec.payload.leg_steps or (task.steps if task else None)
    if steps is not None:
        unit = "a leg" if known.spec.payload.leg_steps else "an expert"
        text = f"{text}; {unit} of {steps} steps takes about {duration_in_words(steps * step_s)}, without transfers"
    if task is not None and step_s * task.steps > task.deadline_s:
        allowed_s = task.deadline_s / task.steps
        return warning(
            "training",
            f"{text}. The run allows {allowed_s:.3g} s a step: a lease would be taken back when its grace is over.",
            "Use a faster device, or join a run with a smaller model.",
        )
    return fine("training", text)
