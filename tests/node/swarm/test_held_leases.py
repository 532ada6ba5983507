"""A record carries the newest lease that this node knows, which outlives a restart in the unit's folder."""

from __future__ import annotations

import pytest

from paris.node.swarm.held_leases import HeldLeases
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.envelope import seal
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Lease, Want

COORDINATOR, ME, OTHER = Identity.generate(), Identity.generate(), Identity.generate()
RUN = make_run_id("tiny", COORDINATOR.public_key)
START = 1_000_000.0


class Dht(list):
    """Stands where leases are read, and counts the reads."""

    num_reads = 0

    def read(self, kind: str, part: int | None = None) -> list:
        self.num_reads += 1
        return list(self)


@pytest.fixture
def dht() -> Dht:
    return Dht()


@pytest.fixture
def now() -> list[float]:
    return [START]


@pytest.fixture
def held(dht, now) -> HeldLeases:
    return HeldLeases(dht, ME.public_key, lambda: now[0])


def lease(number: int = 1, who: Identity = ME, expires_at: float = START + 600) -> Lease:
    return Lease(
        lease_id=f"{number:032x}", task_id="expert-0", attempt=1, volunteer=who.public_key,
        granted_at=START, expires_at=expires_at,
    )  # fmt: skip


def sealed(payload, sequence: int = 1):
    return seal(payload, COORDINATOR, run_id=RUN, sequence=sequence, issued_at=START, expires_at=START + 60)


def beat(number: int = 1) -> Heartbeat:
    return Heartbeat(lease_id=f"{number:032x}", task_id="expert-0", attempt=1, state="training", step=1)


def test_a_record_that_needs_no_lease_stays_as_it_is(held, dht):
    want = Want(name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")
    assert held.attached(want) is want
    assert dht.num_reads == 0


def test_a_record_carries_its_own_lease_as_it_was_sealed_and_the_dht_is_read_once(held, dht):
    mine = sealed(lease())
    dht += [sealed(lease(who=OTHER), 9), sealed(beat()), mine, sealed(lease(2), 3)]
    assert held.attached(beat()).lease == mine.data.decode()
    assert held.attached(beat(2)).lease == dht[3].data.decode()
    assert dht.num_reads == 1
    assert held.attached(beat(3)) is None
    assert dht.num_reads == 2


def test_a_lease_that_ended_is_read_again_and_the_newest_wins(held, dht, now):
    dht.append(sealed(lease(), 2))
    held.attached(beat())
    now[0] = START + 599
    held.attached(beat())
    assert dht.num_reads == 1
    now[0] = START + 600
    renewed = sealed(lease(expires_at=START + 1200), 3)
    dht[:] = [sealed(lease(expires_at=START + 9999), 2), renewed, sealed(lease(expires_at=START + 1), 1)]
    assert held.attached(beat()).lease == renewed.data.decode()
    assert dht.num_reads == 2


def test_a_kept_lease_is_in_its_file_and_known_at_once_after_a_restart(held, dht, tmp_path):
    path = tmp_path / "lease.json"
    dht.append(sealed(lease()))
    held.keep(lease(), path, RUN)
    assert path.read_bytes() == dht[0].data
    again = HeldLeases(Dht(), ME.public_key, lambda: START)
    again.keep(lease(), path, RUN)
    assert again.attached(beat()).lease == dht[0].data.decode()


def test_leases_of_other_units_are_not_written_into_a_units_file(held, dht, tmp_path):
    held.keep(lease(), tmp_path / "lease.json", RUN)
    dht.append(sealed(lease(2)))
    held.attached(beat(2))
    assert not (tmp_path / "lease.json").exists()
    dht.append(sealed(lease(), 4))
    held.attached(beat())
    assert (tmp_path / "lease.json").read_bytes() == dht[1].data


def test_a_units_file_keeps_the_newest_lease_of_its_own_volunteer(held, dht, tmp_path):
    dht += [sealed(lease(), 2), sealed(lease(expires_at=START + 9999), 1), sealed(lease(who=OTHER), 9)]
    held.keep(lease(), tmp_path / "lease.json", RUN)
    assert (tmp_path / "lease.json").read_bytes() == dht[0].data


@pytest.mark.parametrize("content", [b"", b"{]", sealed(lease()).data[:-3]])
def test_a_damaged_file_is_replaced(held, dht, tmp_path, content):
    (tmp_path / "lease.json").write_bytes(content)
    dht.append(sealed(lease()))
    held.keep(lease(), tmp_path / "lease.json", RUN)
    assert (tmp_path / "lease.json").read_bytes() == dht[0].data


def test_a_file_that_cannot_be_written_ends_no_heartbeat(held, dht, tmp_path):
    dht.append(sealed(lease()))
    held.keep(lease(), tmp_path / "no" / "such" / "folder" / "lease.json", RUN)
    assert held.attached(beat()).lease == dht[0].data.decode()


@pytest.mark.parametrize(("granted", "known", "end"), [(600, None, 600), (600, 1200, 1200), (1200, 600, 1200)])
def test_a_lease_is_over_when_the_later_of_its_two_ends_is_past_the_grace(
    held, dht, now, tmp_path, granted, known, end
):
    if known is not None:
        dht.append(sealed(lease(expires_at=START + known)))
    held.keep(lease(expires_at=START + granted), tmp_path / "lease.json", RUN)
    now[0] = START + end + LEASE_GRACE_S
    assert not held.is_over(lease().lease_id)
    now[0] += 1
    assert held.is_over(lease().lease_id)
    assert not held.is_over(lease(2).lease_id), "nothing is known of it"
