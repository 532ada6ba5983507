"""The rows of a source.

items.py     the table of all rows, before any picture is opened
drops.py     the rows that are dropped, with reasons
licences.py  canonical names of licences
"""
