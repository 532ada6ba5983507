"""Handlers of the Hub's HTTP API.

users.py        whoami, traffic
repos.py        create, change, delete a repository
infos.py        one repository in detail; search
browse.py       folders, paths, commits
refs.py         branches and tags
commits.py      preupload and commit
operations.py   the body of a commit
lfs.py          upload of large files, whole or in parts
resolve.py      download of a file, whole or a range
discussions.py  discussions and pull requests
"""
