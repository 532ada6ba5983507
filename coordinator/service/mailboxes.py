"""Which mailboxes on the Hub count, and the records in them: admitted by the same judge as in the DHT.

Pull requests cost nothing, and anybody may write any key into a title. So a mailbox counts once it holds a record that
the judge admits, signed by the key in its title; the others are closed. Each key has one: whoever copies another's
mailbox gets no place. A round reads and closes a bounded number.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from paris.coordinator.run_hub.mailboxes import HubMailboxes, Mailbox
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import mailbox_file
from paris.protocol.keys import BUCKETED, dht_key, part_of, subkey_of
from paris.protocol.payload import Payload
from paris.protocol.record_file import MAX_MAILBOX_RECORDS, max_file_bytes, open_record_file
from paris.protocol.validator import Accepted, RecordJudge

logger = logging.getLogger(__name__)
MAX_MAILBOXES = 256
_LISTED = 100
"""Open pull requests that a round looks at, the newest: those known stay known."""
_MOST_READ, _MOST_CLOSED = 16, 8
"""A round: of those that are known, and as many of the others; each takes one to three requests."""
_MOST_REFUSED = 4096
_MOST_TO_CLOSE = 512
"""Those beyond stay open, the oldest; one that a round finds again is closed then."""
_LEFT_AFTER_S = 3600.0
"""How long after its last record has expired a mailbox is closed: its volunteer has left, or reaches peers again."""
_NOT_ADMITTED = "No record of this run, signed by the key in the title, was in this mailbox."
_COPY = "Another mailbox of this volunteer holds records that are as new."
_REPLACED = "A later mailbox of this volunteer replaces this one."
_LEFT = "The records in this mailbox have expired. A volunteer that needs it opens another one."


@dataclass
class _Box:
    """An admitted mailbox."""

    key: str
    head: str
    records: dict[tuple[str, str], Envelope[Payload]] = field(default_factory=dict)
    """The newest by kind and subkey."""

    @property
    def ends_at(self) -> float:
        return max((envelope.expires_at for envelope in self.records.values()), default=0.0)

    @property
    def newest(self) -> int:
        """The greatest sequence."""
        return max((envelope.sequence for envelope in self.records.values()), default=0)


class Mailboxes:
    """The admitted mailboxes. `look` belongs to one thread; the rest may be read from any.

    Args:
        hub: Reads and closes them.
        judge: Of this way alone.
        run_id: The run.
        num_buckets: The run's, as published.
        clock: UTC seconds.
    """

    def __init__(
        self, hub: HubMailboxes, judge: RecordJudge, run_id: str, num_buckets: int, clock: Callable[[], float]
    ) -> None:
        self._hub, self._judge, self._run_id = hub, judge, run_id
        self._num_buckets, self._clock = num_buckets, clock
        self._boxes: dict[int, _Box] = {}
        self._refused: OrderedDict[int, str] = OrderedDict()
        """Heads of mailboxes that were not admitted, by number."""
        self._num_asked = 0
        """Heads that were asked for one by one."""
        self._to_close: OrderedDict[int, str] = OrderedDict()
        """Mailboxes and why, in the order in which they are closed."""

    @property
    def keys(self) -> frozenset[str]:
        """Volunteers with a mailbox."""
        return frozenset(box.key for box in list(self._boxes.values()))

    def records(self, kinds: Sequence[str]) -> list[Envelope[Payload]]:
        """The unexpired records of these kinds in all mailboxes."""
        now = self._clock()
        return [
            envelope
            for box in list(self._boxes.values())
            for envelope in list(box.records.values())
            if envelope.kind in kinds and envelope.expires_at > now
        ]

    def look(self) -> None:
        """Read what is new, admit and close.

        Raises:
            HubError: The Hub refused or did not answer; what was read before stays.
        """
        found = self._hub.found(_LISTED)
        heads = self._heads([*self._boxes, *(m.number for m in found if m.number not in self._refused)])
        known = [Mailbox(number, box.key) for number, box in self._boxes.items()]
        for mailbox in self._changed(known, heads):
            self._take(mailbox, heads[mailbox.number])
        # Another mailbox of a key is judged by all that its first one holds.
        behind = {box.key for number, box in self._boxes.items() if heads.get(number, box.head) != box.head}
        others = [m for m in found if m.number not in self._boxes and m.key not in behind]
        for mailbox in self._changed(others, heads):
            self._take(mailbox, heads[mailbox.number])
        now = self._clock()
        for number, box in list(self._boxes.items()):
            if box.ends_at + _LEFT_AFTER_S < now:
                del self._boxes[number]
                self._will_close(number, _LEFT)
        self._close_some()

    def _heads(self, numbers: Sequence[int]) -> dict[int, str]:
        """The heads of mailboxes; of those that are too old for the Hub's list of heads some, in turn."""
        heads = self._hub.heads()
        beyond = [number for number in numbers if number not in heads]
        begin = self._num_asked % max(1, len(beyond))
        for number in (beyond[begin:] + beyond[:begin])[:_MOST_READ]:
            self._num_asked += 1
            head = self._hub.head_of(number)
            if head is not None:
                heads[number] = head
        return heads

    def _will_close(self, number: int, why: str) -> None:
        self._to_close[number] = why
        if len(self._to_close) > _MOST_TO_CLOSE:
            self._to_close.popitem(last=False)

    def _close_some(self) -> None:
        for _ in range(min(_MOST_CLOSED, len(self._to_close))):
            number, why = self._to_close.popitem(last=False)
            try:
                self._hub.close(number, why)
            except ParisError as error:  # closing is tidying up: what was read counts all the same
                logger.info("Mailbox %d stays open: %s", number, error.what)

    def _changed(self, mailboxes: Sequence[Mailbox], heads: Mapping[int, str]) -> list[Mailbox]:
        """The first of those with a head that was not read."""
        seen = {number: box.head for number, box in self._boxes.items()} | self._refused
        changed = [m for m in mailboxes if m.number in heads and heads[m.number] != seen.get(m.number)]
        return changed[:_MOST_READ]

    def _take(self, mailbox: Mailbox, head: str) -> None:
        """Keep the valid records of a mailbox that counts, and have one closed that cannot."""
        data = self._hub.read(mailbox_file(mailbox.key), head, max_file_bytes(MAX_MAILBOX_RECORDS))
        envelopes = [] if data is None else self._admitted(data, mailbox.key)
        box = self._boxes.get(mailbox.number) or self._placed(mailbox, head, envelopes)
        if box is None:
            self._refuse(mailbox.number, head)
            return
        box.head = head
        box.records.update({(e.kind, subkey_of(e.payload, e.signer)): e for e in envelopes})
        for place in sorted(box.records, key=lambda place: box.records[place].expires_at)[:-MAX_MAILBOX_RECORDS]:
            del box.records[place]

    def _placed(self, mailbox: Mailbox, head: str, envelopes: Sequence[Envelope[Payload]]) -> _Box | None:
        """A place for a mailbox that had none, or None: then it is closed, unless it is honest and all are taken."""
        if not envelopes:
            self._will_close(mailbox.number, _NOT_ADMITTED)
            return None
        box = _Box(mailbox.key, head)
        first = next((number for number, other in self._boxes.items() if other.key == mailbox.key), None)
        if first is not None:
            if max(envelope.sequence for envelope in envelopes) <= self._boxes[first].newest:
                self._will_close(mailbox.number, _COPY)
                return None
            box.records = self._boxes[first].records
            self._refuse(first, self._boxes.pop(first).head)
            self._will_close(first, _REPLACED)
        elif not self._has_room(mailbox.key):
            return None  # left open, and read again when it changes
        self._boxes[mailbox.number] = box
        return box

    def _refuse(self, number: int, head: str) -> None:
        """Read a mailbox again when its head is another one."""
        self._refused[number] = head
        if len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)

    def _has_room(self, key: str) -> bool:
        """Whether there is a place, which a less proven mailbox then leaves."""
        if len(self._boxes) < MAX_MAILBOXES:
            return True
        number = min(self._boxes, key=lambda number: self._judge.rank(self._boxes[number].key))
        if self._judge.rank(self._boxes[number].key) >= self._judge.rank(key):
            return False
        self._refuse(number, self._boxes.pop(number).head)
        return True

    def _admitted(self, data: bytes, key: str) -> list[Envelope[Payload]]:
        try:
            records = open_record_file(data, max_records=MAX_MAILBOX_RECORDS).records
        except ParisError as error:
            logger.debug("Not a mailbox of %s...: %s", key[:12], error.what)
            return []
        return [envelope for record in records if (envelope := self._judged(record, key)) is not None]

    def _judged(self, record: bytes, key: str) -> Envelope[Payload] | None:
        """A record of the mailbox's volunteer that peers of the DHT would store, too."""
        try:
            envelope = open_envelope(record, run_id=self._run_id, coordinator=None, now=self._clock())
        except ParisError:
            return None
        if envelope.kind not in BUCKETED or envelope.signer != key:
            return None
        place = dht_key(self._run_id, envelope.kind, part_of(envelope.payload, key, self._num_buckets))
        verdict = self._judge.judge(place, subkey_of(envelope.payload, key), record, envelope.expires_at)
        return verdict.envelope if isinstance(verdict, Accepted) else None
