"""From RUN on the command line to a running node.

check.py    `paris-node check`: one verdict line for each thing that a join needs
joining.py  From the command line to a running node: identity, RUN, machine, Hub, peer
resolve.py  RUN -> the signed RunSpec, checked against the run id and the pinned key
"""
