"""Training one expert, and the routers: deterministic, resumable.

expert_training.py  one expert, step by step
config.py           a task, and how it is trained
learner.py          model, optimizer and moving average
batches.py          batch s of a task
loader.py           batches prepared ahead
gradients.py        of a batch, cut to what fits
micro_batch.py      how much fits, found by trial
machine.py          how this machine computes
loss_scale.py       for float16
adamw.py            the optimizer, with 8-bit moments if wanted
ema.py              the moving average of the weights
snapshots.py        training state on disk, and its chain of commitments
router_training.py  the router, and its report
distillation.py     several experts as one dense model
evaluate.py         held-out losses; whether a sample is its prompt's
"""
