"""The run: the connection to its DHT, what this node publishes and what it reads.

ways/                   between this node and the coordinator, whichever answers
connection.py           the DHT peer, restarted when it dies
session.py              one volunteer in one run: description, connection, signed records
held_leases.py          the leases that heartbeats and submissions carry
invite.py               the invite that a volunteer joined with
want_work.py            the proof of work that a run asks of a new key
announcer.py            publishes this node's records, again and again
coordinator_records.py  finds this node's leases, tasks, manifests and verdicts
"""
