"""The handlers of the Hub's HTTP API.

admin.py        The addresses by which repositories, branches and tags come and go
browse.py       Reading a repository's shape: folders, single paths, commits and refs
commits.py      Preupload and commit: the one way in which a repository's files change
discussions.py  The addresses below /discussions
infos.py        What the Hub tells about repositories: one in detail, and lists of them found by tag, owner or name
lfs.py          Large files: the LFS batch, the uploads themselves in one piece or in parts
operations.py   The body of a commit, line by line, and what its operations do to a listing of files
resolve.py      Downloads: one file of one revision, whole or a range of it
"""
