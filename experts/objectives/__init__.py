"""Training objectives, and their models as velocity fields.

flow.py        flow matching: path and velocity
schedules.py   DDPM: signal and noise over time
objectives.py  both objectives; any model as a velocity
"""
