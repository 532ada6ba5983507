"""Storage on disk.

blobs.py  contents as files, by sha256
store.py  the SQLite database
trees.py  git trees, by sha1
"""
