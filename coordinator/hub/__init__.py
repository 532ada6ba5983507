"""The embedded Hub: the stock `huggingface_hub` client and the `hf` command work against it, pull requests included.

server.py      bind, lock, run, stop
app.py         one ASGI application
addresses.py   the table of all addresses
routing.py     raw paths to handlers
context.py     what a handler is given
limits.py      what is accepted at most
names.py       what the network may call things
errors.py      refusals

api/           the handlers of the HTTP API
pages/         HTML pages for people
discussions/   discussions and pull requests
repositories/  repositories, refs, commits, cards; freeing storage
accounts/      tokens, users, upload tickets, bytes by user
storage/       contents by sha256, folders as git has them, SQLite

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
