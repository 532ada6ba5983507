"""Users and their traffic.

auth.py     bearer tokens, users, roles
reservations.py  bytes of uploads in progress
tickets.py  signed, expiring upload URLs
traffic.py  bytes by user, repository and part
"""
