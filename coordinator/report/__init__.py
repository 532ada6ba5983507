"""`paris-coord status` and `paris-coord report`: progress and results of a run, as tables and figures.

status.py       `paris-coord status`: a table, or JSON
leaderboard.py  `paris-coord leaderboard`: the volunteers by their verified steps
invites.py      `paris-coord invites`: who came by which invite
build.py        `paris-coord report`: collects the following
facts.py        tasks, losses, verdicts and bytes, from the run's files
specialisation.py  losses of experts on each other's clusters, from their verifications
model.py        what needs the released model:
rows.py           training and held-out rows
captions.py       what captions say about their pictures; the grid's prompts
samples.py        samples and their features
recognition.py    whether samples show what their prompts say
classifier.py     a linear classifier of captions that many pictures share
distances.py      distances between samples and data
nearest.py        the training row nearest to a sample
losses.py         losses of experts on held-out and on training rows
plots.py        samples.png, nearest.png and training.png
tables.py       report.json, report.md, and the summary for the terminal
model_tables.py   their lines about the model
"""
