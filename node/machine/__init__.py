"""The machine and the volunteer's home on it.

config.py    The volunteer's settings: default < config.toml < PARIS_NODE_* environment < command-line flag
hardware.py  What this machine can take, asked without importing torch
home.py      The folder that remembers everything about this volunteer
lock.py      One agent a home: two with one identity would fight over its lease, its files and its records
unit.py      One leased task on disk: a small state machine, each step resumable after kill -9
"""
