"""From noise to pictures: several experts as one model.

sampler.py        the loop, from noise to data
solvers.py        how a step is taken, and at which times
field.py          the velocity that experts and router make together
routing.py        which experts run, and how much each counts
guidance.py       how much the text counts, and when
crowd.py          what all experts together would draw: what guidance may lead away from
text_contexts.py  keys and values of the prompts, computed once
settings.py       how a model is sampled where nothing else is asked for
expert_source.py  experts by number, wherever they are
trace.py          which expert drew what
routing_plot.py   a picture of that
"""
