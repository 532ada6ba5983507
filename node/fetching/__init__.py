"""Shards and shared files, from peers and the Hub into the cache.

background.py    a thread that fetches shards while the trainer works
fetcher.py       many files, several at once
queue.py         which file to try next, and when
download.py      one file: cache, peers, Hub; verified
peers.py         what a download asks of other volunteers
shared_files.py  text encoder and initial weights
urgency.py       which shards the trainer needs soon
cache.py         files by content hash, within a byte limit
bandwidth.py     a token bucket
"""
