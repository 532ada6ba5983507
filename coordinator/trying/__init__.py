"""A page beside a model: a prompt, the picture, and which expert drew what, when. It knows no run.

server.py      `paris-coord try`: the page on this machine
export.py      `paris-coord try --export`: the same as files that need no server
app.py         requests to answers; who may ask
asking.py      what a form asks for, within bounds
rendering.py   templates and the strip
strip.py       a trace as SVG, and as a table
process.py     the process that holds the model, seen from this one
__main__.py    that process
drawing.py     one picture with its stages and its trace
messages.py    what the two processes say to each other
templates/     Jinja2
assets/        style sheet and script
"""
