"""A peer of the run's DHT: hivemind's DHTNode in our own event loop and thread.

Not `hivemind.DHT`, which forks: its pipe hangs on values over 16 KiB, and its children outlive a killed parent.
Modules marked (*) import hivemind, without torch; they are imported when a peer starts.

    peer.py                `RunPeer` for the rest of the code, which imports nothing else of this folder but
    installed.py           whether there is a daemon to start
    lazy_hivemind.py       imports of hivemind only those parts that are used
    options.py             options of a peer
    loop.py                the thread and event loop; guards the libp2p daemon
    guard.py               ends the daemon when this process dies, even by kill -9
    identity.py            the libp2p key file, locked while in use
    daemon.py        (*)   the libp2p daemon: start, dial, stop
    node.py          (*)   the DHT node: join, rejoin, health
    pinned.py        (*)   the run's own peers, which are always asked
    exchange.py      (*)   storing with confirmation, reading
    shards.py        (*)   shards over streams: serving, requesting
    line.py          (*)   the line over streams: serving, asking
    stream_places.py       how many streams others may open
    rpc.py           (*)   the RPC layer: validates each record, counts bytes
    node_ids.py      (*)   where a peer stands in the DHT, by its key
    storage.py       (*)   the records that a peer stores for others, as hivemind's storage
    validator_adapter.py (*)  the judge as hivemind's record validator
"""

from paris.protocol.dht import lazy_hivemind

lazy_hivemind.install()  # before any module that is marked
