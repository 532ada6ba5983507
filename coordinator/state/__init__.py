"""What the coordinator remembers.

events.py   The run's log, for people
flags.py    Words that commands leave in the state for the running service
model.py    The coordinator's memory as plain frozen values: what `tick` reads and returns, and the store keeps
reading.py  Reading the coordinator's state beside the running service
store.py    The coordinator's memory on disk: SQLAlchemy over SQLite (WAL) by default, any URL it knows otherwise
"""
