"""The run directory: settings, prepared data, locks, and the run's public description.

config.py           The organiser's settings of a run: `run.toml` in the run directory, one pydantic model a table
config_tables.py    The tables of `run.toml`, one pydantic model each; `config.py` puts them together
create.py           `paris-coord init`: a new run directory from a recipe, with its own key and free ports
description.py      From the organiser's settings and the prepared data to what is published
directory.py        Where things stand in a run directory, and how files get there: whole or not at all
initial_weights.py  The file that all experts of a run start from, where it is not the run's seed: converted
locks.py            Who works on a run directory: file locks, which the system lets go of when a process ends
prepared_data.py    What `prepare` left, and what follows from it with run.toml: manifests, the experts' shape
"""
