"""From registered experts to a sampleable model.

assemble.py  `paris-coord release`: one sampleable model from the registered experts and the router
card.py      The model card of a release: licence, how to load, who trained what, where the data comes from
experts.py   The run's experts as a folder, for what learns from them: distillation, and a router of their samples
sample.py    `paris-coord sample`: pictures from a release, as one file, and which expert drew them as another
"""
