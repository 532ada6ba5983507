"""The coordinator's memory: frozen values, and the database that keeps them.

model.py       State and its rows
row.py         their base
audits.py      rows of audits
draft.py       the next state in the making
indexes.py     which rows belong together
events.py      the event log's kinds and lines
orders.py      what the organiser orders beside the service
flags.py       flags that commands set for the running service
tables.py      the tables
engine.py      connections to the database
postgres.py    a run's schema in PostgreSQL
curves.py      loss curves, thinned
credits.py     what each volunteer's verified work is worth
boards.py      the board: a state as people see it
changes.py     what an event changes of the board, and the fold of events
event_log.py   the events on disk, with their changes
old_boards.py  the history that an earlier version kept
store.py       state, events, loss curves and flags in the database
looking.py     a database as somebody reads it who makes and migrates nothing
leading.py     which of several coordinators leads, with PostgreSQL
copying.py     a state from one database to another
reading.py     the state of a run, served or not
"""
