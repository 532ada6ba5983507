"""The networks: arithmetic, shapes and initial weights.

presets.py          shapes of experts and routers, and the named ones
layers.py           what experts and routers are made of
gelu.py             the activation, in place where it can be
model.py            the expert: a diffusion transformer with text cross-attention
router.py           which cluster a noisy picture comes from
prompt_router.py    which cluster a prompt belongs to
initial.py          initial weights from a seed, which each `init_weights` fills in
initial_weights.py  what training starts from: a seed, or a file of the run
imagenet.py         such a file from a DiT trained on ImageNet
"""
