"""Training data.

shards.py   one Parquet file of a cluster's rows
cluster.py  the shards of one cluster
order.py    the rows of each batch
"""
