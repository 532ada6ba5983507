"""The run's DHT: the connection, what this node publishes and what it reads.

connection.py           the DHT peer, restarted when it dies
session.py              one volunteer in one run: description, connection, signed records
held_leases.py          the leases that heartbeats and submissions carry
announcer.py            keeps this node's records alive
coordinator_records.py  finds this node's leases, tasks, manifests and verdicts
"""
