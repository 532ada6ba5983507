"""Real peers for tests: honest ones, a rogue one, and ones in child processes."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from deadlines import DEADLINE_S
from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P, PeerID
from hivemind.utils.serializer import MSGPackSerializer
from protocol_samples import COORDINATOR, RUN_ID, admitted, sealed

from paris.protocol.dht.loop import LoopThread
from paris.protocol.dht.peer import Peer
from paris.protocol.keys import dht_key, part_of, subkey_of

NO_NAT = {"nat_port_map": False, "auto_nat": False, "use_relay": False}


def start_peer(**options):
    """An honest peer of the sample run."""
    return Peer.start(**({"run_id": RUN_ID, "coordinator": COORDINATOR.public_key} | options))


def sealed_now(payload, identity=None, *, sequence=None, life_s=120.0):
    """A record valid by the real clock; by default with a higher sequence than earlier ones."""
    number = time.time_ns() // 1000 if sequence is None else sequence
    return sealed(payload, identity, sequence=number, issued_at=time.time(), life_s=life_s)


def beat_now(payload, identity):
    """A heartbeat or submission of a volunteer that holds a lease now."""
    return sealed_now(admitted(payload, identity, granted_at=time.time()), identity)


def place_of(envelope, num_buckets=1):
    """Key and subkey where a record belongs."""
    part = part_of(envelope.payload, envelope.signer, num_buckets)
    return dht_key(RUN_ID, envelope.kind, part), subkey_of(envelope.payload, envelope.signer)


def held_by(peer, envelope):
    """The bytes in a peer's own storage at the place of a record, or None."""

    async def look():
        key, subkey = place_of(envelope)
        found = peer._node.protocol.storage.get(DHTID.generate(source=key))
        item = None if found is None else found.value.get(subkey)
        return None if item is None else peer._node.protocol.serializer.loads(item.value)

    return peer._thread.call(look(), timeout_s=DEADLINE_S)


def eventually(condition, *, timeout_s=DEADLINE_S):
    """Wait until a condition is true; returns its last value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        select.select([], [], [], 0.05)


class Rogue:
    """A plain hivemind peer without a validator: it stores, sends and serves anything.

    Args:
        initial_peers: Addresses to join by.
        identity_path: Its libp2p key file; a key of its own by default.
        options: Further options of DHTNode, such as a chosen `node_id`.
    """

    def __init__(self, initial_peers, identity_path=None, **options):
        self._thread = LoopThread("rogue")
        self.p2p = self._run(P2P.create(initial_peers=initial_peers, identity_path=identity_path, **NO_NAT))
        options |= {"initial_peers": initial_peers, "cache_locally": False}
        self.node = self._run(DHTNode.create(p2p=self.p2p, **options))

    def _run(self, coroutine):
        return self._thread.call(coroutine, timeout_s=DEADLINE_S)

    @property
    def addresses(self):
        return [str(address) for address in self._run(self.p2p.get_visible_maddrs())]

    def store(self, key, value, expiration_time, subkey=None):
        """hivemind's own store, on any peers."""
        return self._run(self.node.store(key, value, expiration_time, subkey=subkey))

    def keep(self, key, value, expiration_time, subkey=None):
        """Store in its own storage only."""

        async def put():
            return self.node.protocol.storage.store(DHTID.generate(source=key), value, expiration_time, subkey=subkey)

        return self._run(put())

    def send(self, peer, key, value, expiration_time, subkey=None):
        """Send one store request to one peer; returns its answer."""
        return self._run(
            self.node.protocol.call_store(
                PeerID.from_base58(peer.peer_id),
                keys=[DHTID.generate(source=key)],
                values=[value],
                expiration_time=[expiration_time],
                subkeys=[subkey],
            )
        )

    def send_all(self, peer, envelopes):
        """Send records in batches to one peer; returns its answers."""
        answers = []
        for start in range(0, len(envelopes), 100):
            batch = envelopes[start : start + 100]
            places = [place_of(envelope) for envelope in batch]
            answers += self._run(
                self.node.protocol.call_store(
                    PeerID.from_base58(peer.peer_id),
                    keys=[DHTID.generate(source=key) for key, _ in places],
                    values=[MSGPackSerializer.dumps(envelope.data) for envelope in batch],
                    expiration_time=[envelope.expires_at for envelope in batch],
                    subkeys=[subkey for _, subkey in places],
                )
            )
        return answers

    def stop(self):
        self._run(self.p2p.shutdown())
        self._thread.close()


def daemons_of(pid=None):
    """Command lines of a process's p2pd children by pid, without zombies."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_text().split("\0")
            except (OSError, ValueError):
                continue  # the process ended while we looked
            if parent == (pid or os.getpid()) and command[0].endswith("p2pd"):
                found[int(entry.name)] = command
    return found


def is_running(pid):
    """Whether a process is alive and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Child:
    """A Python child process with a peer; prints lines, and ends when its input closes.

    Args:
        script: Python source; `peer` is a peer started with `options`, `say` prints a line at once.
    """

    def __init__(self, script, *, before="", **options):
        source = f"""
import sys
{before}
from paris.protocol.dht.peer import Peer
def say(*words):
    print(*words, flush=True)
peer = Peer.start(run_id={RUN_ID!r}, coordinator={COORDINATOR.public_key!r}, **{options!r})
{script}
"""
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self, timeout_s=DEADLINE_S):
        """Its next line."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        if not ready:
            raise TimeoutError("The child said nothing.")
        return self.process.stdout.readline().strip()

    def end(self):
        """End it if it still runs, and return its standard error."""
        if self.process.poll() is None:
            self.process.kill()
        return self.process.communicate(timeout=DEADLINE_S)[1]
