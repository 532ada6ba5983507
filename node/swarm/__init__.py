"""What passes between this node and the DHT.

announcer.py            What this node says again and again: want, heartbeat, submission, holding
connection.py           The node's DHT peer, kept alive: a transport that dies is started again
coordinator_records.py  What the coordinator says to this node: leases, tasks, manifests, verdicts
"""
