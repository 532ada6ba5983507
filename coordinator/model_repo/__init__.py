"""What the model repo shows people, from the run's first minute on: its card and its tags.

keeping.py     brings both up to what the state says; `serve` calls it
tags.py        expert-3/step-00000210, release-1f0c9b7a: names, and which a state has
card.py        the cards of a run, a release and a student
sections.py    their parts: how to use it, experts, contributors, data
metadata.py    their YAML: tags, licence, measured values
released.py    what was released last, as a file of the run directory
"""
