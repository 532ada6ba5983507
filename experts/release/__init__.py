"""A whole model as a folder: the published layout, and its parts in memory.

layout.py         experts and routers in the folder
layout_fields.py  what its config.json files say
layout_files.py   reading and writing them
parts.py          all parts of a model, from a folder or a Hub repo
parts_writing.py  all parts of a model, back into a folder
single.py         a model of one expert
residency.py      more experts than memory
transfer.py       an expert's weights on their way into a model
"""
