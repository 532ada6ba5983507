"""The cluster and the file of each row.

plan.py        each row's cluster, whether it is held out, its place in a shard
kmeans.py      two-stage k-means: fine centroids, merged to K
nested.py      many clusters, group by group
balance.py     assignment with bounded cluster sizes
catch_all.py   splitting a cluster with far more rows than its share
separation.py  silhouette and Davies-Bouldin index
"""
