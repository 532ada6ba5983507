"""Who may do what, and how much they moved.

auth.py     Who asks: bearer tokens and the users behind them
tickets.py  Signed, expiring upload addresses: the client sends no token along with an object's bytes
traffic.py  How many bytes went where: by user, repository and part of it. Kept in memory, saved now and then
"""
