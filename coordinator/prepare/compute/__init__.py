"""Computing on pictures: Daft, its processes and their devices.

engine.py     Daft, on this machine or on a Ray cluster
devices.py    the GPU of a process
functions.py  the functions that Daft applies to rows: decode, embed, encode
pictures.py   from the bytes of a picture file to a square of pixels
colours.py    modes, transparency and colour profiles
picture_formats.py    the formats that are read
"""
