"""The work: wait for a lease, fetch, train, submit.

agent.py             The loop: wait for a lease, do the work, and again
node.py              What every part of a running agent shares
stages.py            Which stage a unit's state asks for. Each can be left by kill -9 and taken up again
submission_stage.py  From uploading by way of awaiting-verdict to done
training_stage.py    leased -> fetching -> training -> uploading: from the lease to the finished weights
unit_work.py         One unit at work: what its stages share
"""
