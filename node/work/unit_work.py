"""One unit from its lease to the verdict. Every stage can be interrupted by kill -9 and resumed.

leased            accept          the task fits, the token works, the list of shards is known
fetching          train           shared files and the first shard are fetched, then the trainer starts
training          train           the trainer runs while the other shards arrive
uploading         submit          the weights become one pull request
awaiting-verdict  await_verdict   the submission is published until the coordinator has judged it
done, dropped
"""

from __future__ import annotations

from collections.abc import Callable

from paris.node.errors import NothingToHandInError
from paris.node.hub.pull_request import make_submission, upload
from paris.node.hub.sending import Sending
from paris.node.machine.garbage import free_accepted_unit
from paris.node.machine.unit import FINAL, State
from paris.node.retry import LONGEST_WAIT_S, Backoff, persist
from paris.node.view import EventKind
from paris.node.work.hand_in import finished_leg
from paris.node.work.unit_training import UnitTraining
from paris.node.work.verdict import verdict_in_words, wait_for_verdict
from paris.protocol.errors import NoPeersError
from paris.protocol.work_records import Submission

_PUBLISH_TRIES = 4


class UnitWork(UnitTraining):
    """All stages of one unit; the arguments are those of `UnitTraining`."""

    def finish(self, *, goes_on: bool = False) -> None:
        """Go through the remaining stages.

        Args:
            goes_on: The node takes more work after this unit: it trains ahead.

        Raises:
            LeaseLostError: The coordinator took the lease back; the files stay.
            StoppedError: The volunteer stopped the node.
            ParisError: From a stage; the unit stays in its state.
        """
        stages: dict[State, Callable[[], None]] = {
            "leased": self.accept,
            "fetching": self.train,
            "training": self.train,
            "uploading": self.submit,
            "awaiting-verdict": self.await_verdict,
        }
        try:
            while self.unit.state not in FINAL:
                if goes_on and self._ahead is None:
                    self._ahead = self._started_ahead()
                stages[self.unit.state]()
        finally:
            self.close()

    def hand_in(self, *, waits: bool) -> None:
        """Submit what the leg's newest scheduled snapshot has, without more training.

        Args:
            waits: Wait for the verdict; else the next join reads it.

        Raises:
            NothingToHandInError: It has nothing yet; or this run's tasks are handed in whole.
            NoPeersError: It does not wait, and no peer stored the record of what is uploaded.
            HubRefusedError, StoppedError: As `submit`.
        """
        if self.unit.state not in ("uploading", "awaiting-verdict"):
            if not self.unit.is_leg:
                raise NothingToHandInError(
                    f"{self.unit.task.task_id} is handed in when it is whole: this run has no legs.",
                    "paris-node join goes on with it; paris-node leave gives it back.",
                )
            self._finish(finished_leg(self.unit, self.folder))
        if self.unit.state == "uploading":
            self.submit()
        if waits:
            self.await_verdict()
        elif self.unit.submission is not None:
            self._leave_to_the_peers(self.unit.submission)

    def _leave_to_the_peers(self, submission: Submission) -> None:
        for tries in range(_PUBLISH_TRIES):
            if tries:
                self._stop.pause(self._session.poll_s)
            if self._session.announcer.publish_once(submission, for_long=True):
                return
        raise NoPeersError(
            f"{submission.task_id} is uploaded, but no peer of the run took the record that says so.",
            "Run the same command again when they answer; paris-node join publishes it too.",
        )

    def submit(self) -> None:
        """From uploading to awaiting-verdict: repeated until it works, unless the Hub rejects it.

        Raises:
            HubRefusedError: The Hub rejected the upload permanently; the work stays on disk.
            StoppedError: The volunteer stopped the node.
        """
        session, hub, unit, folder = self._session, self._data.hub, self.unit, self.folder
        self._report.heartbeat("uploading")
        name = unit.name or session.name
        submission = make_submission(unit, folder, session.sealer, name=name, repo=session.spec.model_repo)
        sending = Sending(self._report.sent)
        made = persist(
            lambda: upload(hub, unit, folder, submission, session.public_key, sending),
            pause=self._stop.pause,
            backoff=Backoff(first_s=1.0, cap_s=LONGEST_WAIT_S),
            on_wait=self._report.retrying,
        )
        record = submission.model_copy(update={"pull_request": made.number, "commit": made.commit})
        self._advance("awaiting-verdict", submission=record)
        self._report.event(EventKind.SUBMITTED, pull_request=made.number, commit=made.commit, repo=record.repo)

    def await_verdict(self) -> None:
        """From awaiting-verdict to done.

        Raises:
            LeaseLostError: As `wait_for_verdict`.
            StoppedError: The volunteer stopped the node.
        """
        submission = self.unit.submission
        if submission is None:
            self._advance("uploading")
            return
        self._session.announcer.publish(submission)
        self._report.heartbeat("waiting-verdict")
        self._report.event(EventKind.AWAITING_VERDICT)
        snapshots = self.folder.work / "snapshots"
        verdict = wait_for_verdict(self._session, self._data.hub, submission, snapshots, self._report, self._stop.pause)
        for kind in ("submission", "answer"):
            self._session.announcer.withdraw(kind)
        self._advance("done", verdict=verdict)
        if verdict.accepted:
            free_accepted_unit(self.folder, self.unit)
        fields = verdict.model_dump(mode="json", exclude={"task_id"})
        self._report.event(EventKind.VERDICT, text=verdict_in_words(verdict), **fields)

    def give_up(self, reason: str) -> None:
        """Record that the lease is given up, and why; `GivenUp` tells the coordinator."""
        self.folder.set_unreported(True)
        self._advance("dropped", reason=reason)

    def drop(self, reason: str) -> None:
        """Record that the coordinator took the lease back, or that no verdict can come any more."""
        for kind in ("submission", "answer"):
            self._session.announcer.withdraw(kind)
        self._advance("dropped", reason=reason)
        self._report.event(EventKind.LEASE_LOST, reason=reason)

    def close(self) -> None:
        """Withdraw the heartbeat; end the fetch, and what trains ahead."""
        self._report.close()
        if self._ahead is not None:
            self._ahead.stop()
        if self.fetch is not None:
            self.fetch.cancel()
