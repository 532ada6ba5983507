"""Training experts, students and the router: deterministic, resumable.

step.py             one optimizer step
loop.py             steps, reports and snapshots, from the newest snapshot on
state.py            weights, EMA, AdamW's moments, loss scale
expert_training.py  an expert
distillation.py     a student: several experts as one dense model
router_training.py  the router
router_report.py    its accuracy and calibration on held-out rows
config.py           a task, its settings, its reports
batches.py          batch s of a task
loader.py           batches prepared ahead
micro_batch.py      rows in memory together, found by trial
needs.py            memory and disk that a training needs at least
memory.py           what forward and backward passes take
machine.py          device, threads, compilation, determinism
precision.py        autocast; the loss scale of float16
adamw.py            the optimizer, with 8-bit moments if configured
ema.py              the moving average of the weights
snapshots.py        training state on disk
compact_state.py    the compact form of a state
block_codes.py      its codes of 8 bits
commitments.py      the chain of its commitments, without torch
leg.py              one stretch of a training: where it starts and ends
replay.py           a stretch trained again
sketch.py           a few sums over a state, to tell its distance from another machine's
state_distance.py   how far a claimed state is from the replayed one
evaluate.py         held-out losses
"""
