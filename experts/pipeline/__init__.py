"""Prompts in, pictures out: a pipeline of diffusers, and drawing without diffusers.

pipeline.py        `ParisPipeline`
placement.py       what `ParisPipeline.to` takes, and what diffusers offers but a pipeline of experts refuses
schedulers.py      schedulers of diffusers as solvers, and in a model's folder
callbacks.py       `callback_on_step_end`
output.py          PIL, NumPy, torch
drawing.py         prompts and noise of a sampling run; drawing without diffusers
expert_samples.py  rows that the experts draw, for a router without data
"""
