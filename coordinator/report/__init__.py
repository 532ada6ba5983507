"""`paris-coord report`: what a run learned and what it cost, in pictures and tables.

build.py         the command: facts, recognition, pictures, tables
facts.py         what the coordinator's memory and the Hub's counters say
recognition.py   are the samples what their prompts name?
pictures.py      samples.png, clusters.png, training.png
tables.py        report.json, report.md, and the summary on the terminal
"""
