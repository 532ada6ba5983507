"""From registered experts to a sampleable model.

experts.py   fetch the run's trained experts, from the release or from the Hub
__main__.py  a release as a process of its own, for `serve`
assemble.py  `paris-coord release`: release folder and Hub repo
pictures.py  the pictures of its card
sample.py    `paris-coord sample`: draw a grid of pictures from a release
"""
