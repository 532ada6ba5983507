"""Storage on disk.

blobs.py     contents as files, by sha256
store.py     the SQLite database
folders.py   rows of folders in it, whole or as changes to an earlier state
contents.py  folders in memory
trees.py     git trees, by sha1
"""
