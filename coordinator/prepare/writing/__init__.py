"""Second pass: shards, manifests, credits.

encoding.py     Second pass over the pictures: decode, encode
outputs.py      The small files beside the shards: manifests, vocabulary, credits, the card
shard_files.py  Shards and held-out files, out of what the second pass encoded
tokens.py       Captions as the ids that the run's tokenizer makes of them, where the run's text encoder has one
"""
