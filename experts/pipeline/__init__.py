"""Prompts in, pictures out: a pipeline of diffusers, and drawing without it.

pipeline.py         `ParisPipeline`
rules.py            how a picture is drawn, every question answered
drawing.py          prompts and noise of a sampling run; drawing without diffusers
files.py            loading and saving
placement.py        devices and dtypes
steps.py            a scheduler of diffusers, or a solver of ours
callbacks.py        `callback_on_step_end`
output.py           PIL, NumPy, torch
expert_samples.py   rows that the experts draw, for a router without data
scheduler_files.py  its scheduler in a model's folder
"""
