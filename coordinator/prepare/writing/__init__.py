"""Second pass over the pictures: shards, manifests, credits.

encoding.py     decode, encode
shard_files.py  shards and held-out files
tokens.py       captions as token ids
outputs.py      the small files beside the shards: manifests, vocabulary, credits, card
"""
