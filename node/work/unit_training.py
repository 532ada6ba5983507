"""A unit from its lease to the end of its training: the first stages of `unit_work.py`."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from paris.node.control.wishes import Wishes
from paris.node.errors import DiskFullError, LeaseLostError, StoppedError
from paris.node.fetching.background import BackgroundFetch
from paris.node.fetching.cache import Cache
from paris.node.fetching.shared_files import fetch_shared_files
from paris.node.machine.garbage import free_ended_units
from paris.node.machine.hardware import require_fit, size_in_words
from paris.node.machine.machine import Machine
from paris.node.machine.unit import FINAL, Finished, State, Unit, UnitFolder
from paris.node.manners.awake import kept_awake
from paris.node.manners.nvidia import power_limit
from paris.node.retry import LONGEST_WAIT_S, Backoff, persist
from paris.node.swarm.coordinator_records import read_manifest, read_summary, reason_to_stop
from paris.node.swarm.session import RunSession
from paris.node.trainer.events import TrainerEvent
from paris.node.trainer.order import Order
from paris.node.trainer.supervisor import supervise
from paris.node.trainer.waiting import WaitingTrainer
from paris.node.view import EventKind, View
from paris.node.work.ahead import AheadTraining, has_lanes, may_train_ahead, order_ahead, take_over
from paris.node.work.data import DataSources, check_token, start_fetch
from paris.node.work.hand_in import finished_expert, finished_leg, trained_leg
from paris.node.work.head import fetch_head, head_of
from paris.node.work.holding import HandInDue, Hold, PauseDue
from paris.node.work.order import make_order
from paris.node.work.report import UnitReport
from paris.node.work.vitals import Vitals
from paris.protocol.errors import ParisError

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class UnitTraining:
    """The stages that train a unit, and what all of its stages use.

    Args:
        folder: The unit's folder.
        unit: As last saved.
        session: The run.
        data: Where its files come from.
        machine: Where it is done.
        view: Shows its events.
        wishes: What the volunteer asks for meanwhile.
        trainer: A process that may wait for the order already; None: one is started for it.
    """

    def __init__(
        self,
        folder: UnitFolder,
        unit: Unit,
        *,
        session: RunSession,
        data: DataSources,
        machine: Machine,
        view: View,
        wishes: Wishes,
        trainer: WaitingTrainer | None = None,
    ) -> None:
        self.folder, self.unit, self._trainer = folder, unit, trainer
        self._session, self._data, self._machine, self._stop = session, data, machine, wishes.stop
        self._wishes = wishes
        self._report = UnitReport(session.announcer, view, unit, Vitals(session.swarm, machine.hardware))
        self._hold = Hold(wishes, unit, self._report)
        session.announcer.leases.keep(unit.lease, folder.lease, session.run_id)
        self.fetch: BackgroundFetch | None = None
        """The unit's shards, once they are being fetched."""
        self._ahead: AheadTraining | None = None
        self._next_check_at = 0.0

    def accept(self) -> None:
        """From leased to fetching.

        Raises:
            TaskTooBigError: The task asks for more than this machine has.
            HubRefusedError: The token cannot submit.
        """
        session, hub, task = self._session, self._data.hub, self.unit.task
        size = self.unit.lease.size
        require_fit(task, session.spec, self._machine.hardware, size)
        if size is not None:
            self._report.event(EventKind.NOTE, text=size_in_words(session.spec, size))
        self._report.heartbeat("fetching")
        self._retry(lambda: check_token(hub, session.spec.model_repo))
        manifest = self._retry(lambda: read_manifest(session.swarm, hub, session.spec, task))
        self._advance("fetching", repo=manifest.repo, revision=manifest.revision, shards=manifest.shards)

    def train(self) -> None:
        """From fetching or training to uploading, through pauses.

        Raises:
            TrainerError: The trainer cannot finish here.
            DiskFullError: No room for data or for a snapshot; the unit stays, and continues when there is room.
            WrongHashError, HubRefusedError, HubUnreachableError: The data cannot be fetched.
            LeaseLostError, StoppedError: Snapshots and shards stay.
        """
        self._report.heartbeat("fetching")
        fetch = self.start_fetch()
        self._fetch_head()
        fetch.wait_first(self.check)
        if self.unit.state == "fetching":
            self._advance("training")
        order = make_order(self._session.spec, self.unit, self.folder, self._data.cache, self._machine)
        end = self._train_through_pauses(order, fetch)
        if end is None:
            self._finish(finished_leg(self.unit, self.folder))
        else:
            self._finish(trained_leg(self.unit, self.folder) if self.unit.is_leg else finished_expert(end))
        if end is not None:
            self._report.traffic(self._session.swarm.traffic(), end)

    def _train_through_pauses(self, order: Order, fetch: BackgroundFetch) -> dict[str, Any] | None:
        """The trainer's FINISHED event; None if the volunteer wants a leg handed in before its end."""

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == TrainerEvent.RESTARTING:
                self._report.event(EventKind.RESTARTING, code=event["code"], deaths=event["deaths"])
            if event["event"] == TrainerEvent.PROGRESS:
                fetch.urgency.step = event["step"]
                self._report.progress(event)

        def check() -> None:
            self.check()
            self._hold.check()

        while True:
            self._hold.wait(self.check)
            try:
                with self._at_work():
                    first = self._trainer.take() if self._trainer else None
                    log, pause = self.folder.log, self._stop.pause
                    return supervise(order, log, on_event=on_event, check=check, pause=pause, first=first)
            except PauseDue:
                continue
            except HandInDue:
                return None

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """What the machine does differently while its trainer works."""
        config, gpu_uuid = self._machine.config, self._machine.hardware.gpu_uuid
        with (
            kept_awake(config.keep_awake),
            power_limit(gpu_uuid, config.gpu_power_limit_w, self._note),
        ):
            yield

    def _fetch_head(self) -> None:
        """Get the state that the leg starts from; raises as `fetch_head`."""
        if head_of(self.unit) is None:
            return
        home, session = self._machine.home, self._session
        ended = [folder for folder, unit in home.units(session.run_id) if unit.state in FINAL]
        step = None if self.unit.lease.audit else take_over(self.unit, self.folder, ended)
        if step is not None:
            self._note(f"This leg was trained ahead, up to step {step}.")
        data = replace(self._data, cache=Cache(self.folder.work / "arriving"))
        downloader = data.downloader(self._stop.pause, self._machine.config.max_tries, self._report)
        num_bytes = fetch_head(self.unit, self.folder, session.spec.model_repo, downloader, ended, self.check)
        if num_bytes:
            self._note(f"The state at step {self.unit.start_step} is here ({num_bytes} bytes).")
        if self.unit.lease.audit is None:  # an audit is short: the volunteer's next leg may start from what is kept
            free_ended_units(home, session.run_id)

    def _started_ahead(self) -> AheadTraining | None:
        """The next leg's training, where there is one and the volunteer wants it."""
        spec, unit, folder, cache = self._session.spec, self.unit, self.folder, self._data.cache
        wanted = self._machine.config.train_ahead and not self._wishes.is_finishing
        wanted = wanted and not has_lanes(read_summary(self._session.ways))
        if spec.leg_steps is None or not wanted or not may_train_ahead(unit, folder, cache):
            return None
        try:
            order = order_ahead(make_order(spec, unit, folder, cache, self._machine), unit, folder, spec.leg_steps)
        except DiskFullError as error:  # must not keep the finished leg from its upload
            self._note(f"The next leg is not trained yet. {error}")
            return None
        if order is None:
            return None

        def on_end(error: ParisError | None) -> None:
            if error is not None:
                self._note(f"Training ahead ended: {error}")

        self._note("Training goes on while the leg is uploaded and judged; if it is refused, that is void.")
        training = AheadTraining(order, folder.log, self._wishes, self._at_work, on_end)
        training.start()
        return training

    def start_fetch(self) -> BackgroundFetch:
        """Fetch the files that all experts share, then start to fetch the shards.

        Raises:
            WrongHashError, HubRefusedError, HubUnreachableError, DiskFullError: A shared file cannot be fetched.
        """
        config, data, spec, unit = self._machine.config, self._data, self._session.spec, self.unit
        downloader = data.downloader(self._stop.pause, config.max_tries, self._report)
        text_folder = self._machine.home.text_folder(unit.run_id)
        self._retry(lambda: fetch_shared_files(downloader, spec, unit.revision, text_folder))
        self.fetch = start_fetch(spec, unit, downloader, data.sharing, self._report, parallel=config.parallel_downloads)
        return self.fetch

    def check(self) -> None:
        """Raise if the work must stop: called about twice a second.

        Raises:
            StoppedError: The volunteer stopped the node.
            LeaseLostError: The coordinator took the lease back.
            ParisError: The error that ended the fetch.
        """
        if self._stop.is_set:
            raise StoppedError("Stopped.", "Run the same command again to continue.")
        if self.fetch is not None:
            self.fetch.raise_error()
        if time.monotonic() < self._next_check_at:
            return
        self._next_check_at = time.monotonic() + self._session.poll_s
        reason = reason_to_stop(self._session.ways.read("lease"), self.unit.lease)
        if reason is not None:
            raise LeaseLostError(reason, "The node waits for another task.")

    def _finish(self, finished: Finished) -> None:
        self._report.finished(finished)
        self._advance("uploading", finished=finished)
        self._report.event(EventKind.UPLOADING, num_bytes=finished.num_bytes)

    def _note(self, text: str) -> None:
        self._report.event(EventKind.NOTE, text=text)

    def _advance(self, state: State, **changes: Any) -> None:
        _logger.info("%s: %s -> %s", self.unit.label, self.unit.state, state)
        self.unit = self.folder.advance(self.unit, state, **changes)

    def _retry(self, action: Callable[[], T]) -> T:
        """Repeat a request to the Hub through transient errors."""
        return persist(
            action,
            pause=self._stop.pause,
            backoff=Backoff(cap_s=LONGEST_WAIT_S),
            max_tries=self._machine.config.max_tries,
            on_wait=self._report.retrying,
        )
