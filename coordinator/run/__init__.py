"""The run directory: settings, prepared data, locks, and the run's public description.

directory.py        paths of a run directory
config.py           run.toml as a whole: parsing, defaults
config_tables.py    the tables of run.toml
database.py         where the state is: a file, or PostgreSQL
config_text.py      what run.toml may say of text
extending.py        recipes, and recipes that extend others
kept_states.py      how many states of legs are kept
stretches.py        how many stretches a leg has
create.py           `paris-coord init`: a new run directory from a recipe
locks.py            file locks: one coordinator, one warm start
json_files.py       the directory's JSON files
shapes.py           shapes of the expert and the router
prepared_data.py    manifests and settings that `prepare` wrote
initial_weights.py  initial weights of all experts: an ImageNet DiT, or the warm start
lives.py            how long the coordinator's records live
grids.py            grids of samples that are drawn while the run goes on
derived.py          secrets that follow from the run's key
description.py      the RunSpec: the run's public description
"""
