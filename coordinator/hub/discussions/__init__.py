"""Discussions and pull requests.

threads.py  both as rows: numbers, states, events
diffs.py    differences between two revisions
pulls.py    pull requests: opening, pushing, comparing, merging, deleting their commits
"""
