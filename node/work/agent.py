"""The loop: wait for a lease, do the work, and again, until the run is complete or the volunteer stops."""

from __future__ import annotations

import logging
import time
from typing import Literal

from paris.node.control.wishes import Wishes
from paris.node.errors import (
    HubRefusedError,
    LeaseLostError,
    NoTaskError,
    NothingToHandInError,
    TaskTooBigError,
    TrainerError,
    WrongHashError,
)
from paris.node.machine.garbage import free_ended_units
from paris.node.machine.machine import Machine
from paris.node.machine.unit import FINAL, Unit, UnitFolder, place_of
from paris.node.manners.pause import Pause
from paris.node.retry import StopSignal
from paris.node.swarm.coordinator_records import find_my_lease, find_task, read_summary
from paris.node.swarm.session import RunSession
from paris.node.swarm.ways.ways import Ways
from paris.node.trainer.waiting import WaitingTrainer
from paris.node.view import EventKind, View
from paris.node.work.auditing import AuditWork, audited_task
from paris.node.work.data import DataSources
from paris.node.work.given_up import GivenUp
from paris.node.work.head import has_start
from paris.node.work.unit_work import UnitWork
from paris.protocol.counted import counted
from paris.protocol.errors import NoPeersError
from paris.protocol.summary import Summary
from paris.protocol.version import SOFTWARE_VERSION, require_software
from paris.protocol.work_records import Lease, Want

_logger = logging.getLogger(__name__)
_CONFIRM_TIMEOUT_S = 20.0
_GIVE_UP = (TaskTooBigError, TrainerError, WrongHashError)
"""Errors that another try on this machine would only repeat: the lease is given back."""


class Agent:
    """One volunteer's work in one run.

    Args:
        session: The run; its announcer is running.
        data: Where the units' files come from.
        machine: Where the work is done.
        view: Shows what happens.
        stop: The volunteer's wish to stop.
        wishes: What else the volunteer may ask for; None: nothing else can be asked for.
    """

    def __init__(
        self,
        session: RunSession,
        data: DataSources,
        machine: Machine,
        view: View,
        stop: StopSignal,
        wishes: Wishes | None = None,
    ) -> None:
        self.session, self.data, self.machine = session, data, machine
        self._view, self._stop, self._wishes = view, stop, wishes or Wishes(stop)
        self._given_up = GivenUp(session, machine.home, view)
        self._trainer = WaitingTrainer(machine.config.nice, is_wanted=machine.config.early_trainer)

    def run(self, *, max_tasks: int | None = None, task_wait_s: float | None = None) -> int:
        """Work until the run is complete, or the volunteer wants to finish.

        Args:
            max_tasks: Leave after so many verdicts.
            task_wait_s: Leave when no lease came for so long.

        Returns:
            Number of tasks with a verdict.

        Raises:
            NoTaskError: `task_wait_s` is over.
            StoppedError: The volunteer stopped the node.
            ParisError: A task failed in a way that another try on this machine would repeat.
        """
        num_done, text = 0, ""
        try:
            while max_tasks is None or num_done < max_tasks:
                leased = self.machine.home.unfinished(self.session.run_id) or self.wait_for_lease(task_wait_s)
                if leased is None:
                    is_asked = self._wishes.is_finishing
                    text = "Finished, as asked." if is_asked else "The run is complete: every expert is registered."
                    break
                num_done += self._work_on(*leased, goes_on=max_tasks is None or num_done + 1 < max_tasks)
        finally:
            self._trainer.drop()
        traffic = self.session.swarm.traffic()
        self._view.event(
            EventKind.DONE,
            text=text or f"{counted(num_done, 'task')} done.",
            tasks=num_done,
            control_plane_bytes=traffic.bytes_sent + traffic.bytes_received,
        )
        return num_done

    def wait_for_lease(self, task_wait_s: float | None) -> tuple[UnitFolder, Unit] | None:
        """Publish what this machine can take and wait until the coordinator leases a task to it.

        While there is a reason to pause, no task is asked for.

        Returns:
            The new unit, saved; None if the run is complete, or the volunteer wants to finish.

        Raises:
            NoTaskError: `task_wait_s` is over.
            VersionError: The organiser asks for a newer node by now.
            StoppedError: The volunteer stopped the node.
        """
        session = self.session
        began, shown, told, may_start = time.monotonic(), "", "", True
        while not self._wishes.is_finishing:
            self._require_new_enough()
            pause = self._wishes.why_paused()
            state: Literal["waiting", "paused"] = "waiting" if pause is None else "paused"
            if state != told:
                told, may_start = state, pause is None
                session.announcer.publish(self._want(state))
                if pause is not None:
                    self._trainer.drop()
            summary = read_summary(session.ways)
            if may_start and summary is not None and summary.num_open:  # once: where no lease comes, it ends by itself
                may_start = False
                self._trainer.start()
            lease = find_my_lease(session.ways.read("lease"), session.public_key, self._finished_leases())
            if lease is not None and (unit := self._new_unit(lease)) is not None:
                return unit
            if summary is not None and summary.is_complete(session.spec.num_experts):
                return None
            self._given_up.tell_when_due()
            text = _why_waiting(summary, session.ways) if pause is None else f"Paused: {pause.text}."
            if text != shown:
                shown = text
                self._tell_wait(text, pause)
            if task_wait_s is not None and time.monotonic() - began >= task_wait_s:
                raise NoTaskError(f"No task was leased in {task_wait_s:.0f} s. {text}", "Join again later.")
            self._stop.pause(session.poll_s)
        return None

    def _tell_wait(self, text: str, pause: Pause | None) -> None:
        if pause is None:
            self._view.event(EventKind.WAITING, text=text)
            return
        fields = {"reason": pause.reason, "why": pause.text, "until": pause.until, "kept_until": None}
        self._view.event(EventKind.PAUSED, text=text, **fields)

    def unit_work(self, folder: UnitFolder, unit: Unit) -> UnitWork:
        """The stages of a unit."""
        kind = UnitWork if unit.lease.audit is None else AuditWork
        return kind(
            folder,
            unit,
            session=self.session,
            data=self.data,
            machine=self.machine,
            view=self._view,
            wishes=self._wishes,
            trainer=self._trainer,
        )

    def leave(self) -> None:
        """Publish that this node leaves: paused, which keeps the lease, if it has an unfinished unit."""
        is_paused = self.machine.home.unfinished(self.session.run_id) is not None
        self.session.announcer.publish_once(self._want("paused" if is_paused else "leaving"))

    def give_back(self, confirm_timeout_s: float = _CONFIRM_TIMEOUT_S) -> str:
        """Give back every unfinished unit of the run and leave it.

        Args:
            confirm_timeout_s: Wait so long for the coordinator to take the leases back.

        Returns:
            What was achieved, as a sentence.

        Raises:
            NoPeersError: No peer stored it. The leases are given up, and the next join or leave tells the coordinator.
        """
        while (leased := self.machine.home.unfinished(self.session.run_id)) is not None:
            self.unit_work(*leased).give_up("The volunteer left the run.")
        num_given_up = len(self._given_up.unconfirmed())
        is_stored = self._given_up.tell()
        is_stored = is_stored and self.session.announcer.publish_once(self._want("leaving"))
        deadline = time.monotonic() + confirm_timeout_s
        while is_stored and self._given_up.unconfirmed() and time.monotonic() < deadline:
            self._stop.wait(self.session.poll_s)
        num_open = len(self._given_up.unconfirmed())
        if num_open and not is_stored:
            raise NoPeersError(
                f"No peer of the run took the message that {_tasks(num_open)} given up here.",
                "Run the same command again when they answer; paris-node join repeats it too.",
            )
        if num_open:
            what = f"the coordinator has not confirmed yet that {_tasks(num_open)} given back"
            return f"Left; {what}. The next join or leave tells it again."
        return f"Left; {_tasks(num_given_up)} given back."

    def hand_in(self, *, waits: bool) -> None:
        """Hand in what the unfinished task has so far.

        Args:
            waits: Wait for the verdict, too.

        Raises:
            NothingToHandInError: There is no unfinished task, or it has nothing new.
            NoPeersError: It does not wait, and no peer stored the record of what is uploaded.
            HubRefusedError: The Hub rejected the upload permanently; the work stays on disk.
            LeaseLostError: It is too late for a verdict.
            StoppedError: The volunteer stopped it.
        """
        leased = self.machine.home.unfinished(self.session.run_id)
        if leased is None:
            raise NothingToHandInError("There is no unfinished task.", "Begin one: paris-node join RUN")
        work = self.unit_work(*leased)
        try:
            work.hand_in(waits=waits)
        except LeaseLostError as error:
            work.drop(error.what)
            raise
        finally:
            work.close()

    def _work_on(self, folder: UnitFolder, unit: Unit, *, goes_on: bool) -> int:
        """Finish one unit; 1 if it got a verdict, 0 if its lease was lost, or was one of an audit.

        An audit ends no node: another volunteer's state may be at fault.
        """
        self.session.announcer.publish(self._want("busy"))
        if unit.state in ("leased", "fetching", "training") and self._wishes.why_paused() is None:
            self._trainer.start()
        work = self.unit_work(folder, unit)
        try:
            work.finish(goes_on=goes_on)
        except LeaseLostError as error:
            work.drop(error.what)
            return 0
        except _GIVE_UP as error:
            self._give_up(work, error.what)
            if unit.lease.audit is None:
                raise
        except HubRefusedError as error:
            if unit.lease.audit is not None or work.unit.state in ("leased", "fetching"):  # later there is work to keep
                self._give_up(work, error.what)
            if unit.lease.audit is None:
                raise
        return 1 if unit.lease.audit is None else 0

    def _give_up(self, work: UnitWork, reason: str) -> None:
        work.give_up(reason)
        self._given_up.tell()

    def _new_unit(self, lease: Lease) -> tuple[UnitFolder, Unit] | None:
        """The unit for a lease; None until the task's own record arrives, with the state that the lease starts from."""
        home, run_id = self.machine.home, self.session.run_id
        task = find_task(self.session.ways.read("task"), lease.task_id)
        if task is None or not (lease.audit or has_start(task, lease)):
            return None
        if lease.audit is None:
            free_ended_units(home, run_id, lease)
        else:
            task = audited_task(task, lease)
        folder = home.unit_folder(run_id, place_of(lease), lease.attempt)
        unit = folder.save(
            Unit(run_id=run_id, task=task, lease=lease, name=self.session.name, history=(("leased", time.time()),))
        )
        _logger.info("Leased %s, lease %s.", unit.label, lease.lease_id)
        self._view.event(
            EventKind.LEASED,
            task_id=task.task_id,
            attempt=lease.attempt,
            steps=task.steps,
            cluster=task.cluster,
            start_step=unit.start_step,
            end_step=unit.end_step,
            lease_id=lease.lease_id,
        )
        return folder, unit

    def _require_new_enough(self) -> None:
        """Heed the run's newest description; the one that was joined by may be days old."""
        published = self.session.ways.read("run")
        if published:
            newest = max(published, key=lambda envelope: envelope.sequence)
            self.session.swarm.follow(newest)
            require_software(newest.payload.min_node_version)

    def _finished_leases(self) -> set[str]:
        units = self.machine.home.units(self.session.run_id)
        return {unit.lease.lease_id for _, unit in units if unit.state in FINAL}

    def _want(self, state: Literal["waiting", "busy", "paused", "leaving"]) -> Want:
        """What this machine is and can take."""
        hardware, invite = self.machine.hardware, self.session.shown_invite
        return Want(
            name=self.session.name,
            device=f"{hardware.device}: {hardware.label}"[:80],
            memory_bytes=hardware.memory_bytes,
            disk_bytes=hardware.disk_bytes,
            state=state,
            node_version=SOFTWARE_VERSION,
            audits=True,
            work=self.session.work,
            invite=None if invite is None else invite.envelope.data.decode(),
            invite_proof=None if invite is None else invite.proof_for(self.session.public_key),
        )


def _tasks(count: int) -> str:
    return "1 unfinished task was" if count == 1 else f"{count or 'no'} unfinished tasks were"


def _why_waiting(summary: Summary | None, ways: Ways) -> str:
    if not ways.is_up:
        return "The run's peers are out of reach; trying again."
    if ways.is_full:
        return "The run's list of waiting volunteers is full; trying again."
    if summary is None:
        return "The coordinator has published no task yet; waiting."
    if summary.num_open:
        return "A task is open; waiting for the coordinator to lease it."
    queue = "" if ways.place is None else f" Place {ways.place} in the queue."
    return f"No task is open; waiting for one.{queue}"
