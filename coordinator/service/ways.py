"""The ways between volunteers and the coordinator: where their records come from, and where its own can be read."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from paris.coordinator.decisions.observations import (
    AnswerReceived,
    AuditReceived,
    HeartbeatReceived,
    Observation,
    SubmissionReceived,
    WantReceived,
)
from paris.coordinator.errors import DeposedError
from paris.coordinator.service.publisher import records_to_publish
from paris.coordinator.state.model import State
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError
from paris.protocol.invites import open_shown
from paris.protocol.manifest import Manifest, split_manifest
from paris.protocol.payload import Payload
from paris.protocol.run_records import Invite, RunSpec
from paris.protocol.work_records import Answer, Audit, Heartbeat, Submission, Want

logger = logging.getLogger(__name__)
_KINDS = ("want", "heartbeat", "submission", "answer")


@dataclass(frozen=True)
class Shown:
    """What the coordinator tells after a step."""

    records: list[Payload]
    """All that should be readable now."""
    state: State
    """From which they follow."""


class Way(Protocol):
    """One way between volunteers and the coordinator. Called from the loop's thread alone."""

    delay_s: float
    """How old a record may be when it is received for the first time, and still count as new: seconds."""

    def received(self, kinds: Sequence[str]) -> Iterable[Envelope[Payload]]:
        """Volunteers' valid records of these kinds; records seen before may be among them.

        What was returned may be forgotten once `show` is called: the step that took it in is on the disk.
        """

    def show(self, shown: Shown) -> None:
        """Make the coordinator's records readable."""

    def show_all_again(self) -> None:
        """Seal and show every record anew at the next `show`: the clock that stands in them has jumped."""

    def keep_alive(self) -> None:
        """Restart what has died.

        Raises:
            PortTakenError: Its port is in use; the next call tries again.
        """


class Ways:
    """All ways of a run.

    Args:
        spec: The run's description, as published.
        manifests: The shard lists, as published.
        ways: At least one.
        wake: Set by a way when a step should come before its time; None: no way sets one.
        clock: UTC seconds.
    """

    def __init__(
        self,
        spec: RunSpec,
        manifests: list[Manifest],
        ways: Sequence[Way],
        wake: threading.Event | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.spec, self._parts = spec, [part for manifest in manifests for part in split_manifest(manifest)]
        self._clock = clock
        self.wake = wake or threading.Event()
        self._ways = tuple(ways)

    def describe(self, spec: RunSpec) -> None:
        """Publish another description from now on."""
        self.spec = spec

    def keep_peer_alive(self) -> None:
        """Restart what has died.

        Raises:
            PortTakenError: As `Way.keep_alive`.
        """
        for way in self._ways:
            way.keep_alive()

    def republish_all(self) -> None:
        """Store every record again at the next `publish`."""
        for way in self._ways:
            way.show_all_again()

    def observations(self) -> Iterator[Observation]:
        """What volunteers have sent; records seen before are among it."""
        return self._observed(_KINDS)

    def audits(self) -> Iterator[Observation]:
        """What auditors have returned; to be read while audits are out."""
        return self._observed(("audit",))

    def publish(self, state: State) -> None:
        """Make readable what follows from a state; a way that fails does not keep it from the next ones.

        Raises:
            Exception: That of the first way that failed.
        """
        failed: Exception | None = None
        records = records_to_publish(self.spec, self._parts if state.tasks else [], state, self._clock())
        for way in self._ways:
            try:
                way.show(Shown(records, state))
            except DeposedError:
                raise
            except Exception as error:
                logger.debug("A way failed.", exc_info=True)
                failed = failed or error
        if failed is not None:
            raise failed

    def _observed(self, kinds: Sequence[str]) -> Iterator[Observation]:
        now = self._clock()
        return (_observation(envelope, now, way.delay_s) for way in self._ways for envelope in way.received(kinds))


def _observation(envelope: Envelope[Any], now: float, delay_s: float) -> Observation:
    """A volunteer's record as `tick` takes it, after a way of that delay."""
    match envelope.payload:
        case Want():
            want = cast(Envelope[Want], envelope)
            return WantReceived(want, max(0.0, now - envelope.issued_at - delay_s), _invite_of(want, now))
        case Heartbeat():
            return HeartbeatReceived(envelope)
        case Submission():
            return SubmissionReceived(envelope)
        case Answer():
            return AnswerReceived(envelope)
        case Audit():
            return AuditReceived(envelope)
    raise ValueError(f"No volunteer's record tells the coordinator of a {envelope.kind}.")


def _invite_of(want: Envelope[Want], now: float) -> Invite | None:
    """The invite in a want; None if it has none, or if it has ended since the want was judged."""
    with contextlib.suppress(ParisError):
        return open_shown(want, coordinator=None, now=now)
    return None
