"""The organiser's tool and service. The service imports no torch: what computes runs in child processes.

cli.py             the commands; each imports its module when it runs; cli_data.py, cli_training.py: those about data,
                   and those that train here
cli_arguments.py   arguments that several commands have
console.py         what commands say; errors as one line
config.py          run.toml, whose tables are in config_tables.py; recipes/ has ready ones
rundir.py          where things stand in a run directory; locks.py: who works on it
init.py            a new run directory
preparing.py       prepare/: data to clusters, shards, manifests; cluster_cards.py shows them
run_data.py        what prepare left, as all others read it
initial_weights.py what all experts start from; warm_start.py trains it
publishing.py      opens the tasks
spec.py            settings and data to RunSpec and tasks

serving.py         brings the service up and down
service.py         the loop: observe, tick, save, act, publish
observations.py    what tick is told and what it asks for
state.py           the memory, as frozen values
policy.py          the numbers to decide by
tick.py            the decisions, pure: absorb.py takes in, granting.py leases
publications.py    what the DHT should hold
store.py           the memory on disk
executor.py        carries actions out; work.py and children.py run what computes
hub_client.py      the run's repos on a Hub; registering.py copies what was verified onto main
embedded_hub.py    hub/: a Hub of our own
verify/            the ladder

router_job.py      trains the router; routing_request.py has the service do it, or does it here
router_samples.py  what the experts draw for it, where it is not trained on data
trained_experts.py the registered experts as a folder
release.py         assembles the model; card.py describes it
distilling.py      the experts as one dense model; student_scores.py says how near it came
all_data.py        training here, on the shards of all clusters
sampling.py        pictures from a release
status.py          what the memory says
report/            pictures and tables of a run
demo/              all of it on one machine
"""
