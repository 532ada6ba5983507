"""What the coordinator decides, as pure functions: no clock, no socket, no file.

intake.py        How each observation changes the state; one function a kind. Pure, as `tick` is
leases.py        Leases: who gets which task, when a lease is renewed, when it is taken back. Pure, as `tick` is
observations.py  What the coordinator can see, and what it can decide to do: the two ends of `tick`
policy.py        The numbers by which the coordinator decides
tick.py          The coordinator's decisions, as a pure function: `tick(state, observations, now) -> (state, actions
"""
