"""What the coordinator decides, as pure functions: no clock, no socket, no file.

tick.py          tick(state, observations, policy, now) -> (state, actions, events)
observations.py  its input, observations, and its output, actions
policy.py        the numbers it decides by
intake.py        how each observation changes the state
verdicts.py      how a verdict changes it
attempts.py      attempts after a state that may lack the last leases
legs.py          where legs start and end, which are verified, whose states are kept
rounds.py        lanes of an expert side by side: when their states are averaged
relay.py         how a stored leg changes its task, and what becomes of late work
last_work.py     the last verified work of each expert
draws.py         the secret that decides which stretches of a lease's work are replayed
orders.py        how each order of the organiser changes the state
rolling.py       the orders that roll a task back to a verified state, and forward again
challenges.py    asking for the snapshots that a replay needs
audits.py        audits by other volunteers: opened, granted, taken in, ended
audit_ends.py    what comes of them: votes, baits, faults
auditors.py      who audits: the lot, and an auditor's standing
baits.py         audits whose answer is known
rechecks.py      verified work that is to be trained again
rechecked.py     what comes of it
trust.py         who comes first for a task, and who waits
sizes.py         which size of an expert a machine trains
leases.py        granting, renewing and revoking leases
queue.py         those that wait for a task
parallel.py      several leases of a task whose holders show no work
clock_moves.py   the state's times when a wrong clock is corrected
forgetting.py    old volunteers and leases, so that the state does not grow
"""
