"""Mutation testing: change one thing in a module, run its tests, and count the changes that no test notices.

operators.py   which changes are made, on the syntax tree
loader.py      imports one module with one change, in this process and in the processes that it starts
plan.py        the modules and the tests that concern each
running.py     forks a process for each mutant and waits for its tests
table.py       the scores as the table of docs/reliability.md
__main__.py    `make mutants`
"""
