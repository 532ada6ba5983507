"""The rows of a data set: what the source offers, and what is left out.

drops.py     Which rows were left out and why: counted by reason
items.py     The list of what a source offers, before any picture is opened: one row a picture
licences.py  Licences by one name each, whatever a source calls them, and which of them an organiser allows
"""
