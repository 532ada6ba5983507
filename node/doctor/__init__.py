"""`paris-node doctor`: looks at all that a join needs, and changes nothing but an identity that a token needs.

A look is a function from what is known to findings; it may fail or hang, and the others go on.

examination.py    all looks in their order
home_looks.py     settings, home, identity, disk
machine_looks.py  versions, device, memory, manners
network_looks.py  proxies, ports, addresses
daemon_looks.py   the libp2p daemon, and the run's peers through it
run_looks.py      the run, its tasks and its version
hub_looks.py      the Hub, the token, the clock
trial_look.py     one training step, in a process of its own
trial_process.py  that process
report.py         findings as lines and as JSON
looks.py          runs a look with a time limit
known.py          what was asked for, and what earlier looks found
finding.py        one finding
"""
