"""The networks, their shapes and initial weights.

presets.py          shapes of experts and routers, and the named ones
flops.py            operations of experts and routers, counted from their shapes
layers.py           layers of experts and routers
gelu.py             the activation, faster on a CPU
model.py            the expert: a diffusion transformer with text cross-attention
router.py           classifies noisy pictures by cluster
prompt_router.py    classifies prompts by cluster
initial.py          initial weights from a seed, which each `init_weights` fills in
initial_weights.py  what training starts from: a seed, or a file of the run
imagenet.py         such a file from a DiT trained on ImageNet
"""
