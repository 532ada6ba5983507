"""From registered experts to a sampleable model.

experts.py   fetch the run's trained experts, from the release or from the Hub
assemble.py  `paris-coord release`: release folder and Hub repo
card.py      model cards of a release and of a student
sample.py    `paris-coord sample`: draw a grid of pictures from a release
"""
