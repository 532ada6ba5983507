"""Users and their traffic.

auth.py     bearer tokens, users, roles
tickets.py  signed, expiring upload URLs
traffic.py  bytes by user, repository and part
"""
