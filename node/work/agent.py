"""The loop: wait for a lease, do the work, and again, until the run is complete or the volunteer has enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from paris.node.errors import (
    HubRefusedError,
    LeaseLostError,
    NoTaskError,
    TaskTooBigError,
    TrainerError,
    WrongHashError,
)
from paris.node.machine.unit import FINAL, Unit, UnitFolder
from paris.node.swarm.coordinator_records import find_my_lease, find_task, is_complete
from paris.node.view import EventKind
from paris.node.work.node import Node
from paris.node.work.stages import finish
from paris.node.work.unit_work import UnitWork
from paris.protocol.envelope import Envelope
from paris.protocol.records import Lease

_GIVE_UP = (TaskTooBigError, TrainerError, WrongHashError)
"""Errors that another try on this machine would only repeat: the lease is given back."""


class Agent:
    """One volunteer's work in one run.

    Args:
        node: Everything the parts share; its announcer runs already.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def run(self, *, max_tasks: int | None = None, task_wait_s: float | None = None) -> int:
        """Work until the run is complete.

        Args:
            max_tasks: Leave after so many verdicts.
            task_wait_s: Leave when no lease came for so long.

        Returns:
            Tasks that came to a verdict.

        Raises:
            NoTaskError: `task_wait_s` is over.
            StoppedError: The volunteer stopped the node.
            ParisError: A task failed in a way that trying again here would repeat.
        """
        num_done = 0
        while max_tasks is None or num_done < max_tasks:
            found = self._node.home.unfinished(self._node.run.run_id) or self.wait_for_lease(task_wait_s)
            if found is None:
                self._node.view.event(
                    EventKind.DONE,
                    text="The run is complete: every expert is registered.",
                    tasks=num_done,
                    **self._traffic(),
                )
                return num_done
            num_done += self._work(*found)
        self._node.view.event(EventKind.DONE, text=f"{num_done} tasks done.", tasks=num_done, **self._traffic())
        return num_done

    def _work(self, folder: UnitFolder, unit: Unit) -> int:
        """One unit; 1 when it came to a verdict, 0 when its lease was lost."""
        node = self._node
        node.announcer.publish(node.want("busy"))
        work = UnitWork(node, folder, unit)
        try:
            finish(work)
        except LeaseLostError as error:
            folder.advance(work.unit, "dropped", reason=error.what)
            node.view.event(EventKind.LEASE_LOST, task_id=unit.task.task_id, reason=error.what)
            return 0
        except _GIVE_UP as error:
            work.give_up(error.what)
            raise
        except HubRefusedError as error:
            if work.unit.state == "leased":
                work.give_up(error.what)
            raise
        return 1

    def wait_for_lease(self, task_wait_s: float | None) -> tuple[UnitFolder, Unit] | None:
        """Say what this machine can take and wait until the coordinator leases a task to it.

        Returns:
            The new unit, saved; None when the run is complete.
        """
        node = self._node
        node.announcer.publish(node.want("waiting"))
        began, said = time.monotonic(), ""
        while True:
            tasks = node.swarm.read("task")
            lease = find_my_lease(node.swarm.read("lease"), node.sealer.public_key, self._finished_leases())
            if lease is not None and (found := self._new_unit(lease)) is not None:
                return found
            if is_complete(tasks, node.spec.num_experts):
                return None
            text = _why_waiting(tasks, node.swarm.is_up)
            if text != said:
                said = text
                node.view.event(EventKind.WAITING, text=text)
            if task_wait_s is not None and time.monotonic() - began >= task_wait_s:
                raise NoTaskError(f"No task was leased in {task_wait_s:.0f} s. {text}", "Join again later.")
            node.stop.pause(node.poll_s)

    def _new_unit(self, lease: Lease) -> tuple[UnitFolder, Unit] | None:
        """The unit for a lease; None while the task's own record has not arrived yet."""
        node = self._node
        task = find_task(node.swarm.read("task"), lease.task_id)
        if task is None:
            return None
        folder = node.home.unit_folder(node.run.run_id, lease.task_id, lease.attempt)
        unit = folder.save(Unit(run_id=node.run.run_id, task=task, lease=lease, history=(("leased", time.time()),)))
        node.view.event(
            EventKind.LEASED,
            task_id=task.task_id,
            attempt=lease.attempt,
            steps=task.steps,
            cluster=task.cluster,
            lease_id=lease.lease_id,
        )
        return folder, unit

    def _finished_leases(self) -> set[str]:
        units = self._node.home.units(self._node.run.run_id)
        return {unit.lease.lease_id for _, unit in units if unit.state in FINAL}

    def leave(self) -> None:
        """Say goodbye: paused where a unit is to be gone on with, so that its lease is kept; else leaving."""
        node = self._node
        state = "paused" if node.home.unfinished(node.run.run_id) is not None else "leaving"
        node.announcer.publish_once(node.want(state))

    def _traffic(self) -> dict[str, int]:
        traffic = self._node.swarm.traffic()
        return {"control_plane_bytes": traffic.bytes_sent + traffic.bytes_received}


def give_back(node: Node) -> int:
    """Give back every unfinished unit of a run, for `paris-node leave`.

    Returns:
        Units that were given back.
    """
    num_given_back = 0
    while (found := node.home.unfinished(node.run.run_id)) is not None:
        UnitWork(node, *found).give_up("The volunteer left the run.")
        num_given_back += 1
    node.announcer.publish_once(node.want("leaving"))
    return num_given_back


def _why_waiting(tasks: Sequence[Envelope[Any]], is_up: bool) -> str:
    if not is_up:
        return "The run's peers are out of reach; trying again."
    if any(envelope.payload.state == "open" for envelope in tasks):
        return "A task is open; waiting for the coordinator to lease it."
    return "No task is open; waiting for one." if tasks else "The coordinator has published no task yet; waiting."
