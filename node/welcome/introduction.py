"""The run and this machine in lines: what will be trained, what it takes here, what is downloaded and used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paris.experts.models.presets import ModelConfig
from paris.experts.training.needs import num_parameters
from paris.node.machine.hardware import gib
from paris.node.machine.machine import Machine
from paris.protocol.counted import counted
from paris.protocol.printable import on_one_line
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.sizes import needs_of


@dataclass(frozen=True)
class Introduction:
    """What a volunteer should know before it joins."""

    run_id: str
    name: str
    num_experts: int
    num_open: int
    """Tasks that wait for a volunteer."""
    num_parameters: int
    """Of an expert of the run's model."""
    steps: int | None
    """Of an expert; None while no task is published."""
    leg_steps: int | None
    licence: str
    page: str
    """Where the run's files and pictures are."""
    hardware: str
    device: str
    memory_bytes: int
    needs_memory_bytes: int | None
    download_bytes: int | None
    """Of the largest cluster."""
    disk_bytes: int | None
    home: str
    manners: tuple[str, ...]
    """When the owner lets it train, a setting each."""

    @property
    def fields(self) -> dict[str, Any]:
        """Of the event `introduction`."""
        return {**self.__dict__, "manners": list(self.manners)}


def introduction_of(run_id: str, spec: RunSpec, tasks: Iterable[Task], machine: Machine, endpoint: str) -> Introduction:
    """Put together what is known.

    Args:
        run_id: The run.
        spec: Its description.
        tasks: Those that its peers hold.
        machine: This one.
        endpoint: Of the run's Hub.

    Raises:
        ExpertError: This software does not know the run's model.
    """
    known = list(tasks)
    opened = [task for task in known if task.state == "open"]
    needs = [needs for task in opened or known if (needs := needs_of(task, None))]
    return Introduction(
        run_id=run_id,
        name=on_one_line(spec.name),
        num_experts=spec.num_experts,
        num_open=len(opened),
        num_parameters=num_parameters(ModelConfig.from_settings(spec.model)),
        steps=max((task.steps for task in known), default=None),
        leg_steps=spec.leg_steps,
        licence=on_one_line(spec.licence),
        page=on_one_line(f"{endpoint.rstrip('/')}/{spec.model_repo}"),
        hardware=machine.hardware.label,
        device=machine.hardware.device,
        memory_bytes=machine.hardware.memory_bytes,
        needs_memory_bytes=max((need.min_memory_bytes for need in needs), default=None),
        download_bytes=max((task.data_bytes for task in opened or known), default=None),
        disk_bytes=max((need.min_disk_bytes for need in needs), default=None),
        home=str(machine.home.path),
        manners=machine.config.in_force,
    )


def lines_of(told: Introduction, training: str | None) -> list[tuple[str, str]]:
    """The introduction as rows: a word, and what is to be said about it.

    Args:
        told: The introduction.
        training: What a step and a leg take here, measured; None: not measured.
    """
    experts = f"{counted(told.num_experts, 'expert')} of {_parameters(told.num_parameters)}; "
    experts += f"{counted(told.num_open, 'task')} without a volunteer"
    length = "the run has published no task yet" if told.steps is None else f"{told.steps} steps an expert"
    if told.steps is not None and told.leg_steps:
        length += f", in legs of {told.leg_steps}: you can stop at any time, and the next volunteer goes on"
    rows = [
        ("Run", f"{told.name} ({told.run_id})"),
        ("Model", experts),
        ("Work", length),
        ("Licence", f"{told.licence} of the data"),
        ("Pictures", told.page),
        (
            "Machine",
            f"{told.hardware} ({told.device}), {gib(told.memory_bytes)} of memory{_needed(told.needs_memory_bytes)}",
        ),
    ]
    if training is not None:
        rows.append(("Speed", training))
    if told.download_bytes is not None:
        rows.append(("Download", f"at most {_megabytes(told.download_bytes)} of training data for a task, kept here"))
    if told.disk_bytes is not None:
        rows.append(("Disk", f"at least {gib(told.disk_bytes)} more in {told.home}"))
    rows.append(("Network", "only the run's Hub and peers; what you train goes to the Hub, signed with your key"))
    rows.append(("When", "; ".join(told.manners) or "at any time; `--hours` and `--only-when-idle` change that"))
    return rows


def _needed(num_bytes: int | None) -> str:
    return "" if num_bytes is None else f"; an expert needs {gib(num_bytes)}"


def _parameters(number: int) -> str:
    return f"{number / 1e6:.3g} million parameters" if number >= 1e6 else f"{number:,} parameters"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{max(0.1, num_bytes / 1e6):.1f} MB"
