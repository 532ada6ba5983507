"""What is stored: contents by digest, folders as git has them, rows in SQLite.

blobs.py  Contents as files named by their sha256, and the two ways in which they arrive
store.py  The Hub's database: one SQLite file in WAL mode, one writer at a time, readers in any thread
trees.py  Folders as git has them: each tree named by its sha1, so that commits share what did not change
"""
