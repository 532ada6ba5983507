"""From noise to pictures: several experts sampled as one model.

sample.py    the sampling loop, from noise to data
solvers.py   one step of it, and its flow times
field.py     the velocity that experts and router give together
routing.py   how much each expert counts
guidance.py  how far, and when, a picture is led away from the negative prompt
settings.py  what a model is sampled with
experts.py   experts by number, in memory or not
prompts.py   prompts as the experts see them
trace.py     which expert made which picture, and the plot of it
"""
