"""A peer of the run's DHT: hivemind's DHTNode in an event loop of our own, in a thread of our own.

Never the forking `hivemind.DHT`: its pipe hangs on values over 16 KiB, and its children outlive a killed parent.
Only modules that are imported when a peer starts import hivemind (3 s, because it imports torch).

    peer.py                the synchronous face that the rest of the code uses
    options.py             how a peer is started; what it has carried
    loop.py                the thread, its event loop, and how the loop starts the libp2p daemon
    guard.py               ends the daemon when this process dies, however it dies
    addresses.py           multiaddrs: order, parts, whether a port is free
    identity.py            the libp2p key file, locked while it is in use
    daemon.py        (*)   the libp2p daemon: start, dial, end
    node.py          (*)   the DHT node over it: join, stay joined, health
    exchange.py      (*)   storing with proof, reading
    shards.py        (*)   shards over streams: serving, asking
    rpc.py           (*)   the RPC layer: refuses record by record, counts bytes
    storage.py       (*)   what a peer holds: a refused write changes nothing
    validator_adapter.py (*)  the judge as hivemind's record validator

(*) imports hivemind.
"""
