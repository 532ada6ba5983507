"""Small models trained in minutes on three data sets: experts, a monolith of the same compute, and quality metrics.

    python -m benchmarks.small.train --out FOLDER --dataset digits --arms monolith semantic-4

datasets.py    the data sets, from digits.py, fashion.py, emoji.py; pictures.py: pictures in memory
settings.py    all settings that affect a folder's result
classifier.py  a classifier whose features give distances, and another one for clustering
distance.py    Frechet distance, KID, precision and recall, sliced Wasserstein
judge.py       quality of samples
clusters.py    clusterings of the training set
parts.py       one expert, or the monolith, trained as by volunteers
routers.py     the two routers of a clustering
students.py    distilled models; routers trained on samples of the experts
arms.py        the compared models, of equal training compute
ways.py        sampling methods of an arm
grid.py        sample grids
train.py       the command: stages in sequence, each done once
folder.py      `load(FOLDER)`: a trained folder, for other benchmarks
"""
