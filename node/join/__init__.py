"""From RUN on the command line to a running agent.

joining.py  starts and stops what an agent needs
resolve.py  RUN to the signed RunSpec, checked against the run id and the pinned key
check.py    `paris-node check`
"""
