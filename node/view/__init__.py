"""What the volunteer sees.

events.py      every event, and its sentence
words.py       figures in words
views.py       plain lines, JSON, and the choice of a view
board.py       what the events add up to: the node's present state
course.py      the course of the work: the loss by step, and what has happened
screen.py      that state as lines of text
live.py        the live view at a terminal
schema.py      the fields of every event, and their JSON schema
"""

from paris.node.view.events import EventKind, sentence
from paris.node.view.views import JsonView, View, make_view
from paris.node.view.words import duration_in_words

__all__ = ["EventKind", "JsonView", "View", "duration_in_words", "make_view", "sentence"]
