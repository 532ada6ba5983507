"""Shards between the volunteers of a run, so that the Hub need not send every volunteer every byte.

sharing.py    one node's part: what it serves, and where it asks
members.py    who serves the shards of a cluster, and who may ask; from signed records in the DHT
inventory.py  which shards this node has, fetches and wants
serving.py    answers requests within the volunteer's limits
asking.py     takes a shard from a peer that has it
parts.py      partial downloads from peers, and who is to blame for a wrong hash
transfer.py   the bytes of one shard from a peer, and whether they come fast enough
trust.py      back-off and ban list

Nodes that serve and miss the same shard agree without a message on which of them gets it from the Hub: a hash ranks the
members for each shard, and all but the first wait while their trainers do not need it. Everything that comes from a
peer is checked against the signed hash.
"""
