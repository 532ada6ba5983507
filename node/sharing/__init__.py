"""Shards between volunteers of one run, so that the organiser's Hub need not give each of them all bytes.

sharing.py     one node's part in it: what it serves, and from whom it takes
members.py     who serves the shards of a cluster, and who may ask: the DHT's signed word
board.py       what this node has, fetches and wants
host.py        answers questions of others, within the volunteer's limits
taking.py      asks others for a shard, and takes it from one that has it
transfer.py    the bytes of one shard as they come from a peer, and whether they come fast enough
troubles.py    whom to leave alone for a while, and whom for good

Whoever serves and misses the same shard agrees without a word on who gets it from the Hub: each shard has a ranking of
its members by hash, and all but the first wait while their trainers do not need it. Whatever comes from a peer is
checked against the signed hash.
"""
