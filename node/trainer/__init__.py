"""The trainer: a process with torch and without network.

process.py     the process: `python -m paris.node.trainer.process`
task.py        from the order to a training
drawing.py     pictures that the expert draws as it learns; this file and the one above import what trains and samples
order.py       what the agent sends
events.py      what the trainer sends
supervisor.py  starts the process, and restarts it when it dies
waiting.py     a process that is started before there is work for it
"""

PROCESS_MODULE = "paris.node.trainer.process"
"""Run by name, in a process of its own."""
