"""The machine and the volunteer's home on it.

machine.py   home, settings and hardware together
config.py    settings: default < config.toml < PARIS_NODE_* < command line
own_addresses.py  its network addresses
hardware.py  device, memory and disk, without importing torch
gpus.py      the GPUs that this process may use
home.py      the folder that keeps everything
lock.py      one node per home
unit.py      one leased task on disk
drawings.py  pictures that an expert drew as it learned
unit_formats.py  older formats of it
credits.py   verified steps and hours, from the verdicts on disk
garbage.py   what the home no longer needs
"""
