"""Shards from peers and the Hub into the cache.

background.py    Shards arrive while the trainer already works on the first ones
bandwidth.py     How many bytes a second may pass: a token bucket that says how long to wait
cache.py         Downloaded files by content hash, within a byte limit
fetcher.py       Resumable, verified downloads
peers.py         Other volunteers as a source of files: what `fetch.py` asks of them
queue.py         Files that are still to come: which to try next, and when
shared_files.py  What a run's experts share: text encoder and initial weights, from the data repo
urgency.py       Which shards the trainer will need soon: those must not wait for other volunteers, the others may
"""
