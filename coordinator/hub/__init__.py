"""The embedded Hub: the stock `huggingface_hub` client and the `hf` command work against it, pull requests included.

    server.py      HubServer, serve: bind, lock, run, stop         app.py        one ASGI application, create_app
    addresses.py   the table of all addresses                      routing.py    raw paths to handlers
    context.py     what a handler is given                         auth.py       tokens, users, volunteers
    infos.py       repositories in detail and in lists             cards.py      README metadata and tags
    browse.py      folders, paths, commits, refs                   resolve.py    downloads with ranges
    commits.py     preupload and commit                            operations.py the lines of a commit
    lfs.py         large uploads                                   tickets.py    signed upload addresses
    discussions.py the addresses of discussions                    threads.py    their rows and events
    pulls.py       pull requests: push, compare, merge, delete     admin.py      create, delete, tag, branch, whoami
    repos.py       repositories, refs, commits                     trees.py      folders as git has them
    store.py       SQLite                                          blobs.py      contents by sha256
    sweep.py       freeing storage                                 traffic.py    bytes by user and part
    names.py       what the network may call things                limits.py     what is accepted at most
    page.py        three HTML pages                                errors.py     refusals

On disk: hub.sqlite3, blobs/, incoming/, parts/, tokens.json, admin.token, tickets.key, hub.lock.
Uploads need HF_HUB_DISABLE_XET=1 on the client's side; downloads need nothing.
"""

from __future__ import annotations

from paris.coordinator.hub.accounts.auth import add_user, admin_token
from paris.coordinator.hub.app import create_app
from paris.coordinator.hub.errors import HubStartError
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import HubServer, serve

__all__ = ["HubLimits", "HubServer", "HubStartError", "add_user", "admin_token", "create_app", "serve"]
