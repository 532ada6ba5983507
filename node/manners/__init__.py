"""When and how hard this machine may work, by its owner's settings.

settings.py    the settings, a part of config.toml
times.py       "2h", "18:00" and "22:00-07:00"
pause.py       a reason to pause
decision.py    from settings and observations to a reason to pause: pure
watch.py       observes now and then, and decides
sensors.py     battery, programs, processor, temperatures
logind.py      whether somebody uses keyboard or mouse
nvidia.py      asks nvidia-smi; the power limit
awake.py       no sleep while the trainer works
"""
