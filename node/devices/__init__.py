"""A join with several devices: a node for each, under one command.

together.py     starts the nodes, shows what they say, ends them
introducing.py  which run it is for, and what the volunteer is told of it
portions.py     what each node gets: a name, a device, its part of what they share
order.py        what a node's process is told
process.py      the process of one node
fan_out.py      answers the control socket for all of them
offline.py      the homes that `hand-in` and `leave` work on
"""

NODE_MODULE = "paris.node.device_node"
"""Of a node's process, for `python -m`."""
