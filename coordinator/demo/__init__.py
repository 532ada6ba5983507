"""`paris-coord demo`: the same commands a person would type, each in its own process, on loopback.

run.py         the stages, in order
processes.py   starting, watching and ending the processes; memory of all together
sockets.py     who was connected to whom
journal.py     what each process says, kept and summed up
measurements.py  what only the parent can measure, for the report
display.py     progress bars
"""
