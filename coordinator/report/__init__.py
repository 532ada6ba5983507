"""`paris-coord status` and `paris-coord report`: progress and results of a run, as tables and figures.

status.py       `paris-coord status`: a table, or JSON
build.py        `paris-coord report`: collects the following
facts.py        tasks, losses, verdicts and bytes, from the run's files
recognition.py  whether the nearest training picture of a sample is its prompt's own
plots.py        samples.png and training.png
tables.py       report.json, report.md, and the summary for the terminal
"""
