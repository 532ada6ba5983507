"""A peer's place in the DHT follows from its key.

hivemind lets a peer claim any DHT id, as many as it likes, and those of peers that it names. Here a peer is filed under
the digest of its peer id, which is the digest of the key that its connection proves; claims are not read. So an
identity has one place, and who wants another must make another. Keys cost little all the same: of about n keys one is
nearer to a given record than n peers. What an eclipse cannot take away is at the run's pinned peers (`pinned.py`).

Peers of before claim a random id. They are filed in the same way, and may look for records at other peers than those
that know this rule; the pinned peers hold them all.
"""

from __future__ import annotations

import hashlib

from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID

_DOMAIN = b"paris-node-id-v1\n"


def node_id_of(peer: PeerID) -> DHTID:
    """The DHT id of a peer."""
    return DHTID.from_bytes(hashlib.sha256(_DOMAIN + peer.to_bytes()).digest()[: DHTID.HASH_NBYTES])
