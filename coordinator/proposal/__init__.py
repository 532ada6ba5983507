"""From somebody's own pictures to the settings of a run: look at a source, choose, explain.

survey.py     looks at a source: rows, captions, licences, a sample of the pictures
findings.py   what a survey found
detecting.py  what kind of source a path or a name is
texts.py      captions: how many, how long, in which language
looking.py    a bounded sample of the rows, decoded
choices.py    pure: from a survey and wishes to a RunConfig with reasons
sizing.py     pure: the number of experts, the picture's side, steps, deadlines
"""
