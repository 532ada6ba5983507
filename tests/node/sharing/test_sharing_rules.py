"""The rules of sharing one by one: who counts as a member, what a shard's status is, who is asked and who is blamed."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from paris.node.fetching.cache import Cache
from paris.node.hub.file import Wanted
from paris.node.sharing.inventory import Inventory
from paris.node.sharing.members import Member, Members, usable
from paris.node.sharing.parts import PeerParts, WrongBytesError
from paris.node.sharing.trust import Trust
from paris.protocol.run_records import Shard
from paris.protocol.shard_request import ShardStatus
from paris.protocol.work_records import Holding, Lease

PEER = "12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
LOCAL, PUBLIC = f"/ip4/192.168.0.7/tcp/9/p2p/{PEER}", f"/ip4/9.9.9.9/tcp/9/p2p/{PEER}"
ME, ADA, BEN = "0" * 64, "a" * 64, "b" * 64
MANIFEST = "5" * 64


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Dht:
    """Stands where the DHT is read, and counts the reads."""

    initial_peers = (LOCAL,)

    def __init__(self) -> None:
        self.leases, self.holdings, self.asked = [], [], []

    def read(self, kind: str, part: int | None = None) -> list:
        self.asked.append((kind, part))
        return self.leases if kind == "lease" else self.holdings

    def grant(self, key: str) -> None:
        lease = Lease(lease_id="1" * 32, task_id="expert-0", attempt=1, volunteer=key, granted_at=1.0, expires_at=2.0)
        self.leases = [SimpleNamespace(payload=lease), SimpleNamespace(payload=None)]

    def serve(self, key: str, manifest: str = MANIFEST, addresses: tuple[str, ...] = (LOCAL,)) -> None:
        holding = Holding(cluster=3, manifest_sha256=manifest, addresses=addresses)
        self.holdings.append(SimpleNamespace(payload=holding, signer=key))


@pytest.fixture
def dht() -> Dht:
    return Dht()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def members(dht, clock) -> Members:
    return Members(dht, ME, clock)


def test_a_known_lease_is_looked_for_every_ten_seconds_and_an_unknown_one_twice_a_second(dht, clock, members):
    dht.grant(ADA)
    assert members.has_lease(ADA)
    assert not members.has_lease(BEN)
    dht.leases = []
    clock.now += 9.9
    assert members.has_lease(ADA)
    assert len(dht.asked) == 1
    assert not members.has_lease(BEN)
    assert len(dht.asked) == 2
    clock.now += 0.4
    assert not members.has_lease(BEN)
    assert len(dht.asked) == 2
    clock.now += 0.1
    dht.grant(BEN)
    assert members.has_lease(BEN)
    clock.now += 10.0
    dht.leases = []
    assert members.has_lease(ADA), "one read may miss what another has seen"
    assert len(dht.asked) == 4


def test_only_others_that_hold_a_lease_and_serve_this_manifest_at_an_address_are_members(dht, members):
    dht.grant(ADA)
    for key, manifest, addresses in (
        (ME, MANIFEST, (LOCAL,)),
        (BEN, MANIFEST, (LOCAL,)),
        (ADA, "6" * 64, (PUBLIC,)),
        (ADA, MANIFEST, (LOCAL,)),
    ):
        dht.serve(key, manifest, addresses)
    dht.holdings.insert(0, SimpleNamespace(payload=None, signer=ADA))
    assert members.serving(3, MANIFEST) == (Member(ADA, (LOCAL,)),)
    assert ("holding", 3) in dht.asked


def test_members_are_looked_for_every_two_seconds_and_the_first_ones_twice_a_second(dht, clock, members):
    dht.grant(ADA)

    def reads() -> int:
        return dht.asked.count(("holding", 3))

    assert members.serving(3, MANIFEST) == ()
    clock.now += 0.4
    assert (members.serving(3, MANIFEST), reads()) == ((), 1)
    dht.serve(ADA)
    clock.now += 0.1
    assert len(members.serving(3, MANIFEST)) == 1
    clock.now += 1.9
    assert (len(members.serving(3, MANIFEST)), reads()) == (1, 2)
    dht.holdings = []
    clock.now += 0.1
    assert (len(members.serving(3, MANIFEST)), reads()) == (1, 3), "one read may miss what another has seen"
    assert members.serving(3, "6" * 64) == ()


@pytest.mark.parametrize(
    ("initial", "address", "is_usable"),
    [
        (LOCAL, LOCAL, True),
        (LOCAL, PUBLIC, True),
        (PUBLIC, PUBLIC, True),
        (PUBLIC, LOCAL, False),
        (f"/dns4/run.example/tcp/9/p2p/{PEER}", LOCAL, False),
        (LOCAL, f"/dns4/run.example/tcp/9/p2p/{PEER}", False),
        (LOCAL, f"/ip4/1.2.3.4/udp/9/p2p/{PEER}", False),
        (LOCAL, f"/ip4/1.2.3.4/tcp/9/p2p/{PEER}/p2p-circuit", False),
        (LOCAL, "/ip4/1.2.3.4/tcp/9/quic/x", False),
        (PUBLIC, f"/ip6/2606:4700::1/tcp/9/p2p/{PEER}", True),
        (PUBLIC, f"/ip4/nonsense/tcp/9/p2p/{PEER}", False),
        ("nonsense", LOCAL, True),
    ],
)
def test_in_a_run_on_the_internet_only_public_addresses_are_dialled(initial, address, is_usable):
    assert usable([address], [initial]) == ((address,) if is_usable else ())


DATA = b"rows of a shard"
SHA256 = hashlib.sha256(DATA).hexdigest()
SHARD = Shard(path="shards/0.parquet", sha256=SHA256, bytes=len(DATA), rows=3)
WANTED = Wanted("org/data", "main", "shards/0.parquet", SHA256, len(DATA))


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def put(cache: Cache, data: bytes) -> None:
    part = cache.part(SHA256)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    part.replace(cache.file(SHA256))


def test_the_status_of_a_shard_goes_from_refused_to_available(cache):
    inventory = Inventory(cache)
    assert (inventory.status(SHA256), inventory.knows(SHA256)) == (ShardStatus.REFUSED, False)
    inventory.add([SHARD])
    assert (inventory.status(SHA256), inventory.knows(SHA256)) == (ShardStatus.ABSENT, True)
    assert inventory.num_bytes(SHA256) == len(DATA)
    assert inventory.awaited_by_others() == frozenset()
    inventory.want([SHA256, "9" * 64])
    assert inventory.status(SHA256) == ShardStatus.WANTED
    assert inventory.awaited_by_others() == {SHA256}
    with inventory.fetching(SHA256):
        assert inventory.status(SHA256) == ShardStatus.FETCHING
    assert inventory.status(SHA256) == ShardStatus.WANTED
    put(cache, DATA[:-1])
    assert (inventory.status(SHA256), inventory.path(SHA256)) == (ShardStatus.WANTED, None)
    put(cache, DATA)
    assert (inventory.status(SHA256), inventory.path(SHA256)) == (ShardStatus.AVAILABLE, cache.file(SHA256))


def test_what_is_wanted_no_more_is_awaited_no_more(cache):
    inventory = Inventory(cache)
    inventory.add([SHARD])
    inventory.want([SHA256])
    inventory.status(SHA256)
    inventory.want([])
    assert inventory.awaited_by_others() == frozenset()
    assert inventory.status(SHA256) == ShardStatus.ABSENT


ONE, OTHER = Member(ADA, (LOCAL,)), Member(BEN, (LOCAL,))


def send(parts: PeerParts, member: Member, data: bytes) -> None:
    path = parts.begin(WANTED, member, parts.offset(WANTED, member))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def test_a_part_is_continued_by_another_and_what_is_right_goes_into_the_cache(cache):
    parts = PeerParts(cache)
    assert parts.offset(WANTED, ONE) == 0
    send(parts, ONE, DATA[:4])
    assert parts.offset(WANTED, OTHER) == 4
    send(parts, OTHER, DATA[4:])
    parts.complete(WANTED)
    assert cache.file(SHA256).read_bytes() == DATA
    assert not cache.peer_part(SHA256).exists()


def test_who_sent_all_of_a_wrong_file_is_blamed(cache):
    parts = PeerParts(cache)
    send(parts, ONE, DATA[:4])
    send(parts, ONE, b"x" * (len(DATA) - 4))
    with pytest.raises(WrongBytesError, match=r"shards/0\.parquet"):
        parts.complete(WANTED)
    assert not cache.peer_part(SHA256).exists()
    send(parts, ONE, DATA[:4])
    assert parts.offset(WANTED, OTHER) == 4, "there was no doubt whom to blame"


def test_after_a_wrong_file_of_two_senders_a_part_is_continued_by_its_first_sender_alone(cache):
    parts = PeerParts(cache)
    send(parts, ONE, DATA[:4])
    send(parts, OTHER, b"x" * (len(DATA) - 4))
    parts.complete(WANTED)
    assert not cache.file(SHA256).exists()
    send(parts, ONE, DATA[:4])
    assert parts.offset(WANTED, ONE) == 4
    assert parts.offset(WANTED, OTHER) == 0
    assert not cache.peer_part(SHA256).exists()


def test_a_part_that_is_too_long_begins_again(cache):
    parts = PeerParts(cache)
    send(parts, ONE, DATA)
    assert parts.offset(WANTED, ONE) == 0
    assert not cache.peer_part(SHA256).exists()


def test_a_member_that_failed_is_left_alone_twice_as_long_each_time_up_to_a_quarter_of_an_hour(clock):
    trust = Trust(clock)
    for expected in (15, 30, 60, 120, 240, 480, 960, 960):
        trust.failed(ONE)
        trust.failed(ONE)  # a second download reports the same
        clock.now += expected - 0.1
        assert trust.available([ONE, OTHER]) == [OTHER]
        clock.now += 0.1
        assert trust.available([ONE, OTHER]) == [ONE, OTHER]
    trust.succeeded(ONE)
    trust.succeeded(OTHER)
    trust.failed(ONE)
    clock.now += 15
    assert trust.available([ONE]) == [ONE]


def test_a_member_is_waited_for_until_it_failed_four_times_in_a_row(clock):
    trust = Trust(clock)
    assert (trust.is_believed(ONE), trust.may_return(ONE)) == (True, False)
    for number in range(1, 5):
        trust.failed(ONE)
        assert (trust.is_believed(ONE), trust.may_return(ONE)) == (number <= 3, number <= 3)
        clock.now += 999
    assert trust.is_believed(OTHER)


def test_a_ban_is_of_the_key_at_any_address(clock):
    trust = Trust(clock)
    trust.ban(ONE)
    assert trust.not_banned([ONE, OTHER, Member(ADA, (PUBLIC,))]) == [OTHER]
