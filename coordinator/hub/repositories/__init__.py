"""Repositories: refs, commits, cards, uploads; freeing storage.

repos.py    repositories, refs, commits, revisions
cards.py    metadata of a README, tags
quotas.py   bytes that a user stores
uploads.py  uncommitted uploads, and the right to commit a content
sweep.py    deletes what nothing refers to
"""
