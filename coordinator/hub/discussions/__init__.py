"""Discussions and pull requests.

pulls.py    Pull requests: opening, pushing, comparing, merging, and deleting what they hold
threads.py  Discussions and pull requests as rows: their numbers, states and events
"""
