"""Small real models, trained in minutes: three data sets, experts and a monolith of the same compute, and a measure.

    python -m benchmarks.small.train --out FOLDER --dataset digits --arms monolith semantic-4

datasets.py    digits.py, fashion.py, emoji.py: where pictures come from; pictures.py: what they are in memory
settings.py    all that decides a folder's result
classifier.py  its features are what distances are measured on; another one's are what is clustered
distance.py    Frechet distance, KID, precision and recall, sliced Wasserstein: numbers in, numbers out
judge.py       what samples are worth
clusters.py    the training part in K clusters, in several ways
parts.py       one expert, or the monolith, through the training that volunteers run
routers.py     the two routers of a clustering
students.py    one model taught by all experts; routers of what the experts draw
arms.py        what is compared: models out of parts, all of the same training compute
ways.py        ways of sampling an arm
grid.py        samples to look at
train.py       the command: one stage after another, each done once
folder.py      `load(FOLDER)`: a trained folder, for other benchmarks
"""
