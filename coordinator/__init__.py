"""The organiser's tool and service. The service imports no torch: what computes runs in child processes.

A room imports only those below it (`[tool.importlinter]` in pyproject.toml):

cli/         the commands and their options
demo/        all of it on one machine
training/    what the organiser's machine trains: warm start, router, student
release/     registered experts to a sampleable model, its card, samples from it
service/     the running coordinator: startup, loop, actions, publisher
report/      what a run says of itself: status, tables, pictures
prepare/     pictures to clusters, shards and manifests
decisions/   observations to actions, pure
verify/      the ladder that a submission climbs
run_hub/     the run's two repos on a Hub
state/       the coordinator's memory, in values and on disk
run/         the run directory and its settings
hub/         a Hub of our own; knows nothing of the run

console.py     what commands print; errors as one line
children.py    child processes and the modules they run
hub_errors.py  failures of the Hub client as typed errors
errors.py      typed errors
recipes/       ready run.toml files
"""
