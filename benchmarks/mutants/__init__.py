"""Mutation testing: change one thing in a module, run its tests, and count the changes that no test notices.

operators.py   which changes are made, on the syntax tree
loader.py      changes one module, in this process and in the processes that it starts
plan.py        the groups of modules, and the tests that concern each
calls.py       which tests call which function
running.py     a process for each mutant, with limits
collected.py   the mutants of functions, in forks of a process that has collected the tests
scoring.py     the mutants of a group; those outside of functions, whose modules are imported again
table.py       the scores as the tables of docs/reliability.md
__main__.py    `make mutants`
"""
