"""`paris-coord demo`: a whole run on this machine, by the same commands that a person would type, over loopback.

run.py           a recipe's demo: starts or continues it, shows its report
own_run.py       the same for the user's own pictures
choosing.py        looks at the pictures, measures the machine, chooses
speed.py           measured training steps; starts the measuring processes
shapes.py          the models to choose from
budget.py          what fits into the time; pure
settings.py        the run.toml of it, reasons, what to expect; pure
stages.py        the stages, in order
record.py        demo.json: how far the demo is
folder.py        the demo's folder and its lock
processes.py     start, watch and end the processes; peak memory
sockets.py       counts connections between volunteers and out of the machine
journal.py       reads the JSON lines of a process
measurements.py  measurements.json, for the report
display.py       progress bars
fashion.py       Fashion-MNIST as a folder of class folders, for the recipe `fashion`
"""
