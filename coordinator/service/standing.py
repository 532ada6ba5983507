"""Who leads a run: the one coordinator that there is, or one of several of a database, each with a peer in the DHT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from paris.coordinator.decisions.attempts import with_attempts_skipped
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.peering import start_peer
from paris.coordinator.service.swarm import SupervisedPeer
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.leading import Leadership, known_addresses
from paris.coordinator.state.store import Store
from paris.protocol.clock import Clock
from paris.protocol.errors import ParisError
from paris.protocol.sealer import SequenceFile, Sequences

logger = logging.getLogger(__name__)
ATTEMPTS_SKIPPED = 100
"""After each take-over."""
_LOOK_EVERY_S = 1.0
_ANNOUNCE_EVERY_S = 10.0


class Claim(Protocol):
    """A coordinator's claim to lead its run."""

    @property
    def peer(self) -> SupervisedPeer:
        """Its peer in the DHT."""

    @property
    def sequences(self) -> Sequences:
        """Those of its records."""

    def wait(self, stop: threading.Event) -> bool:
        """Stand by until this coordinator leads, or `stop` is set; whether it leads."""

    def take_over(self, store: Store, *, after_loss: bool) -> None:
        """Make the state that was left this coordinator's own.

        Args:
            store: The state.
            after_loss: Whether this coordinator has lost the lead before.
        """

    def addresses(self) -> list[str]:
        """Where volunteers find the coordinators of the run."""

    def told(self, addresses: list[str]) -> None:
        """Note the addresses that volunteers are told from now on."""

    def require(self) -> None:
        """Raise DeposedError where another coordinator leads by now."""

    def keep(self) -> bool:
        """Keep the lead, after each step; whether volunteers are to be told `addresses` anew. Errors: of `require`."""


class Alone:
    """The claim of the only coordinator.

    Args:
        run: The run directory.
        peer: Its peer in the DHT.
    """

    def __init__(self, run: RunDir, peer: SupervisedPeer) -> None:
        self.peer = peer
        self.sequences = SequenceFile(run.path / "sequence")

    def wait(self, stop: threading.Event) -> bool:
        """It leads."""
        return not stop.is_set()

    def take_over(self, store: Store, *, after_loss: bool) -> None:
        """Its own state."""

    def addresses(self) -> list[str]:
        """Of its peer."""
        return self.peer.current.addresses

    def told(self, addresses: list[str]) -> None:
        """Its addresses stay."""

    def require(self) -> None:
        """It leads."""

    def keep(self) -> bool:
        """It leads, and its addresses stay."""
        return False


class Candidate:
    """A coordinator that leads as soon as nobody else does.

    Args:
        run: The run directory.
        peer: Its own peer in the DHT.
        leadership: Its claim.
        log: Receives events for people.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        run: RunDir,
        peer: SupervisedPeer,
        leadership: Leadership,
        log: Callable[[Event], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._run, self.peer, self.sequences, self._log, self._clock = run, peer, leadership, log, clock
        self._leadership = leadership
        self._announce_at = clock()
        self._told: list[str] = []

    def wait(self, stop: threading.Event) -> bool:
        """Stand by until this coordinator leads.

        Args:
            stop: Ends the wait.

        Returns:
            Whether it leads.

        Raises:
            RunDirError: Another one leads, and the run's Hub is embedded.
        """
        said = ""
        while not stop.is_set():
            try:
                self.peer.restart_if_dead()
                if self._leadership.try_to_lead():
                    return True
                self._announce_if_due()
                self._require_shared_hub()
                kind, text = EventKind.SERVING, f"Another coordinator leads {self._run.run_id}; this one stands by."
            except RunDirError:
                raise
            except ParisError as error:
                logger.debug("Standing by.", exc_info=True)
                kind, text = EventKind.PROBLEM, f"{error.what} This coordinator stands by."
            if text != said:
                self._log(Event(kind, text))
                said = text
            stop.wait(_LOOK_EVERY_S)
        return False

    def take_over(self, store: Store, *, after_loss: bool) -> None:
        """Fence the saves, and skip attempts where a database that failed over may have lost the last leases.

        A mere restart skips none: restarts may be many, and attempts end at MAX_ATTEMPT.
        """
        store.fence(self._leadership.epoch)
        if not after_loss and self._leadership.predecessor in ("", self.peer.current.peer_id):
            return
        before = store.load()
        after = with_attempts_skipped(before, ATTEMPTS_SKIPPED)
        store.save(before, after, [Event(EventKind.SERVING, "A coordinator took over.")], time.time())

    def require(self) -> None:
        """Raise DeposedError where another coordinator leads by now, DatabaseError where nobody can know."""
        self._leadership.require()

    def addresses(self) -> list[str]:
        """Where volunteers find the coordinators of the run: this one, then the others."""
        self._announce_if_due()
        return self._present_addresses()

    def told(self, addresses: list[str]) -> None:
        """Note the addresses that volunteers are told from now on; others than these are told anew (`keep`)."""
        self._told = addresses

    def keep(self) -> bool:
        """Keep the lead; whether volunteers are to be told other addresses than `told` has noted.

        It looks every ten seconds, so whoever fails to tell them is asked again.

        Raises:
            DeposedError: Another coordinator leads, or has led since.
            DatabaseError: The database does not answer.
        """
        self._leadership.keep()
        return self._announce_if_due() and self._present_addresses() != self._told

    def _present_addresses(self) -> list[str]:
        return [*self.peer.current.addresses, *self._leadership.other_addresses()]

    def _announce_if_due(self) -> bool:
        if self._clock() < self._announce_at:
            return False
        self._leadership.announce(self.peer.current.addresses)
        self._announce_at = self._clock() + _ANNOUNCE_EVERY_S
        return True

    def _require_shared_hub(self) -> None:
        # After a restart the leader may be this one's own connection that was lost.
        if self._run.config.hub.embedded and self._leadership.leader() != self.peer.current.peer_id:
            raise RunDirError(
                "Another coordinator leads the run, whose Hub is embedded and has its files on that machine.",
                "For two coordinators, use a Hub that both reach: [hub] endpoint, with embedded = false.",
            )


def stand(run: RunDir, log: Callable[[Event], None], stack: ExitStack) -> Claim:
    """Start the coordinator's peer, and claim the lead.

    Args:
        run: The run directory, whose state exists.
        log: Receives events for people.
        stack: Stops the peer, and gives the lead back before.

    Raises:
        PortTakenError: The peer's port is in use.
        DatabaseError: The database does not answer.
    """
    location = run.state
    if not isinstance(location, PostgresSchema):
        peer = SupervisedPeer(lambda: start_peer(run), log)
        stack.callback(peer.stop)
        return Alone(run, peer)
    peer = SupervisedPeer(lambda: start_peer(run, known_addresses(location)), log)
    stack.callback(peer.stop)
    leadership = Leadership(location, peer.current.peer_id)
    stack.callback(leadership.close)
    return Candidate(run, peer, leadership, log)
