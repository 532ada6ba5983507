"""The command line of `paris-coord`. A command imports what it needs when it runs, so that `--help` is fast.

app.py           the typer app and the entry point; short commands
options.py       shared arguments and options, event output, signals
new_run.py       init, check-config
data_options.py  options of init
proposing.py     init --data: look, show, ask, write
checking.py      check-config: print what is off
planning.py      recipes, plan
demo_options.py  options of demo
data.py          prepare, clusters, dropped
preparing.py     prepare and dropped: settings, progress, output
clusters.py      clusters: show or copy the page
orders.py        ban, allow, revoke, unregister, roll-back, recheck
training.py      warm-start, train-router, distill
sampling.py      sample
"""
