"""What is trained on.

shards.py  one Parquet file of a cluster's rows
order.py   which rows batch s is made of
"""
