"""Which row belongs to which cluster and file.

balance.py     Even cluster sizes: the assignment with the least total distance whose sizes stay near the mean
catch_all.py   A catch-all cluster: the one that takes whatever is like nothing else, far more rows than its share
kmeans.py      Two-stage k-means: many fine centroids, merged to K; then sizes evened out
plan.py        Which row goes where: its cluster, the secret held-out part, and its place in a shard
separation.py  How well clusters are told apart, by two figures that are published for other preparations
"""
