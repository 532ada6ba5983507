"""`paris-coord demo`: the same commands a person would type, each in its own process, on loopback.

run.py         the stages, in order
processes.py   starting, watching and ending the processes; memory of all together
journal.py     what each process says, kept and summed up
display.py     progress bars
"""
