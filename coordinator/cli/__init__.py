"""The commands of `paris-coord`; each imports what it does when it runs.

app.py        `paris-coord`: the organiser's command. Each command's work lives in a module of its own
clusters.py   `paris-coord clusters`: the page that `prepare` made of the clusters, shown, copied, or as JSON
data.py       The commands of `paris-coord` about data: prepare it, show its clusters, list what was left out
options.py    What several commands of `paris-coord` share: arguments, how events are shown
preparing.py  `paris-coord prepare`: from run.toml's [data] to the run directory's data folder, with progress
training.py   The commands of `paris-coord` that train on the organiser's machine: a common start, the router
"""
