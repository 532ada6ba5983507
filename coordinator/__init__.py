"""The organiser's tool and service. The service imports no torch: heavy computation runs in child processes.

A room imports only those below it (`[tool.importlinter]` in pyproject.toml):

cli/         the commands and their options
demo/        a whole run on one machine
training/    training on the organiser's machine: warm start, router, student
trying/      a page beside a model: a prompt, its picture, which expert drew what
page/        the organiser's page in a browser
release/     from registered experts to a sampleable model; samples
service/     the running coordinator: startup, loop, actions, publisher
report/      status and report of a run: tables and figures
planning/    what a run will cost, before anybody joins
model_repo/  what the model repo shows people: card and tags
prepare/     pictures to clusters, shards and manifests
decisions/   observations to actions, pure
verify/      the verification ladder
run_hub/     the run's two repos on a Hub
state/       the coordinator's state, in memory and on disk
run/         the run directory and its settings
hub/         the embedded Hub's server; independent of runs

console.py     what commands print; errors as one line
children.py    child processes and the modules they run
server_child.py  one that is a server: the embedded Hub, the page
migrations.py  versions of SQLite files
hub_errors.py  failures of the Hub client as typed errors
errors.py      typed errors
recipes/       packaged run.toml files to start from
"""

from paris.protocol.telemetry import disable_telemetry

disable_telemetry()  # before any library is imported
