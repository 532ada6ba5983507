"""A whole model as a folder in the published layout, and in memory.

layout.py         the folder: written, read, its networks loaded
layout_fields.py  the fields of its config.json files
layout_files.py   JSON in and out; text encoder and VAE copied
model.py          a whole model, loaded from a folder or a Hub repo, and saved
single.py         a model of one expert
bank.py           more experts than memory
transfer.py       an expert's weights on their way into a slot
"""
