"""A small real model, trained in minutes: 5,000 handwritten digits, four experts, their routers, and what it is worth.

    python -m benchmarks.digits.train --out FOLDER

data.py        the digits, 16x16, with their names as captions
features.py    a classifier of them: its features are what distances are measured on, and what is clustered
distance.py    Frechet distance, KID, precision and recall, sliced Wasserstein: numbers in, numbers out
clusters.py    clusters, and their shards
experts.py     one expert, or the monolith, through the training that volunteers run
routers.py     the two routers
model.py       all of it as one model's folder, in the published layout
judge.py       samples, figures, a grid to look at
train.py       the command: one stage after another, each done once
folder.py      `load(FOLDER)`: the model and its measure, for other benchmarks
"""
