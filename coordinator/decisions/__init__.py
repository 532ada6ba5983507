"""What the coordinator decides, as pure functions: no clock, no socket, no file.

tick.py          tick(state, observations, policy, now) -> (state, actions, events)
observations.py  its input, observations, and its output, actions
policy.py        the numbers it decides by
intake.py        how each observation changes the state
orders.py        how each order of the organiser changes the state
trust.py         who comes first for a task, and who waits
leases.py        granting, renewing and revoking leases
clock_moves.py   the state's times when a wrong clock is corrected
forgetting.py    old volunteers and leases, so that the state does not grow
"""
