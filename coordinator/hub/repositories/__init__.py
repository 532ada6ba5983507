"""Repositories: refs, commits, cards, and freeing what nothing refers to.

cards.py  What a README's YAML says about a repository: the card's data, and the tags by which it is found
repos.py  Repositories and their revisions: finding, creating, reading what a name stands for
sweep.py  Freeing storage: what no ref leads to is removed, contents that no repository names are deleted
"""
