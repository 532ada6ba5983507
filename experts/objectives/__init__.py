"""What an expert learns, and how all are sampled as one.

flow.py        flow matching: path and velocity
schedules.py   DDPM: signal and noise over time
objectives.py  both, as one velocity
"""
