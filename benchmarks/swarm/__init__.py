"""A simulated swarm: volunteers that come, work, cheat and leave in virtual time, under three ways to check their work.

volunteers.py  who takes part: arrival, departure, hours, speed, honesty
world.py       the queue of events: who trains what, when
scheme.py      what a way to lease and check work is asked
paris.py       the coordinator's own `tick`, with legs, replays and audits
replicas.py    BOINC's ways: a quorum of two, and adaptive replication
figures.py     what came of a run
"""
