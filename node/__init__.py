"""The volunteer's client: `paris-node join RUN`.

Two processes: the agent (network, state, view) and the trainer (torch, and no network).
A room imports only those below it (`[tool.importlinter]` in pyproject.toml):

cli.py      the commands
doctor_command.py  `paris-node doctor`
home_commands.py  those that only read or tidy the home
options.py  options that commands share, and how a command ends
doctor/     what is wrong with machine, network or run, and what to do
device_node.py  one node of a join with several devices, as a process
devices/    a join with several devices: a node for each
join/       RUN on the command line to a running node
work/       the loop: wait for a lease, fetch, train, submit
sharing/    shards between volunteers
fetching/   shards from peers and the Hub into the cache
swarm/      this node's DHT peer, what it publishes and what it reads
hub/        the volunteer's side of the Hub
trainer/    the process that trains, and its supervisor
machine/    settings, hardware, the home folder, units on disk
retry.py    one bounded back-off
view.py     what the volunteer sees
errors.py   what a person can act on: message, next step, exit code
"""

from paris.protocol.telemetry import disable_telemetry

disable_telemetry()  # before any library is imported
