"""The work: wait for a lease, fetch, train, submit.

agent.py      the loop over units
unit_training.py  one unit from its lease to the end of its training
unit_work.py  its other stages, up to the verdict
auditing.py   one audit of another volunteer's stretch
given_up.py   telling the coordinator of leases that were given up
data.py       where its data comes from
head.py       the state that a leg starts from
holding.py    when its trainer stops for a pause or an early end
hand_in.py    what is handed in: an expert, or the newest snapshot of a leg
ahead.py      the next leg, trained while one is uploaded and judged
order.py      what its trainer is told
report.py     its heartbeats and events
vitals.py     peers and GPU, beside the training
verdict.py    waiting for the coordinator's verdict
answering.py  giving the snapshots that the coordinator asks for meanwhile
"""
