"""What is said between machines. No torch, no Hub; only `dht/` imports hivemind, and only when a peer starts.

errors.py      typed errors with a next step and an exit code
version.py     protocol and software version
limits.py      bounds that every peer enforces
locks.py       exclusive locks between processes
canonical.py   one value, one byte string
signing.py     Ed25519 identities
runid.py       run ids that vouch for their key
records.py     the payloads, and who may sign what
envelope.py    the signed envelope around each payload
keys.py        DHT keys, subkeys, buckets
manifest.py    a cluster's shard list, whole and in parts
leases.py      the deadline curve
shard_request.py  asking a peer for a shard
validator.py   the closed world: what a peer stores and believes
dht/           a peer: hivemind's DHTNode in an event loop of our own
"""
