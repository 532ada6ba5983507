"""A whole run in one file, made while it is served, and restored elsewhere.

contents.py    which files of a run directory belong in it, and the list of them that the file carries
writing.py     `paris-coord backup`
restoring.py   `paris-coord restore`
"""
