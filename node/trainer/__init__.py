"""The process that trains: torch, and no network.

process.py     The trainer: torch, and no network. A process of its own: `python -m paris.node.trainer.process`
supervisor.py  Starts the trainer, listens to it, and starts it again when it dies
task.py        From the agent's order to a training: the only place where the trainer meets paris.experts
"""
