"""The command line of `paris-coord`. A command imports what it needs when it runs, so that `--help` is fast.

app.py        the typer app and the entry point; short commands
options.py    shared arguments and options, event output, signals
data.py       prepare, clusters, dropped
preparing.py  prepare and dropped: settings, progress, output
clusters.py   clusters: show or copy the page
training.py   warm-start, train-router, distill
sampling.py   sample
"""
