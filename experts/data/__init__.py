"""Training data.

shards.py         one Parquet file of a cluster's rows
column_bounds.py  what a column of it may become when it is decoded
page_headers.py   the headers of a column's pages
cluster.py        the shards of one cluster
order.py          the rows of each batch
shard_order.py    the order of the shards, without torch
"""
