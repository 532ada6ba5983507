"""The embedded Hub: works with the stock `huggingface_hub` client and the `hf` command, pull requests included.

server.py      bind, lock, serve, stop
app.py         the ASGI application
addresses.py   the table of all routes
access.py      the repository of a request, with the user's rights checked
routing.py     from raw paths to handlers
connections.py ends connections that stall
bodies.py      bodies of requests, bounded
context.py     one request, and the parts of the Hub
limits.py      bounds on requests and storage
names.py       valid names of owners, repositories, paths and refs
timestamps.py  times in the form of the API
errors.py      refusals

api/           handlers of the HTTP API
pages/         the Hub in a browser
discussions/   discussions and pull requests
repositories/  repositories, refs, commits, cards, uploads; freeing storage
accounts/      tokens, users, upload tickets, traffic
storage/       contents by sha256, git trees, SQLite

On disk: hub.sqlite3, blobs/, incoming/, parts/, tokens.json, admin.token, tickets.key, hub.lock.
Clients need HF_HUB_DISABLE_XET=1 to upload; downloads need no setting.
"""

from __future__ import annotations

from paris.coordinator.hub.accounts.auth import add_user, admin_token
from paris.coordinator.hub.app import create_app
from paris.coordinator.hub.errors import HubStartError
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import HubServer, serve

__all__ = ["HubLimits", "HubServer", "HubStartError", "add_user", "admin_token", "create_app", "serve"]
