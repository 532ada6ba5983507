"""Prompts in, pictures out: a pipeline of diffusers, and drawing without diffusers.

pipeline.py        `ParisPipeline`
loading.py         the arguments of `from_pretrained`
placement.py       devices and dtypes of a pipeline's parts, and what diffusers offers for that and experts refuse
schedulers.py      schedulers of diffusers as solvers, and in a model's folder
callbacks.py       `callback_on_step_end`
output.py          PIL, NumPy, torch
drawing.py         prompts and noise of a sampling run; drawing without diffusers
expert_samples.py  rows that the experts draw, for a router without data
"""
