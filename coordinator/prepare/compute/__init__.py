"""Where pictures are computed on: Daft, its processes and their devices.

devices.py    Which GPU a process computes on: the first that no other process of this machine has claimed
engine.py     Daft, started once a process: on this machine by default, on a Ray cluster where an address is given
functions.py  What Daft applies to the rows: decode, embed, encode. One class a step; one model a process
pictures.py   From a picture file's bytes to a square of pixels, or to the reason why not
"""
