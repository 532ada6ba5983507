"""Handlers about users: whoami, and the traffic counts for the administrator."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import forbidden


def get_whoami(call: Call) -> Response:
    """GET whoami-v2: the user of the token. Every account may open pull requests, which needs a write token."""
    user = call.require_login()
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "orgs": [{"type": "org", "name": org, "fullname": org} for org in user.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": user.role, "role": "write"}},
        }
    )


def get_traffic(call: Call) -> Response:
    """GET paris/traffic, for the administrator: bytes by user, repository and part.

    Sample: {"uploaded_bytes": 812, "downloaded_bytes": 4096, "entries": [{"user": "user-1f2e3d4c",
    "repo": "datasets/lab/run-data", "part": "shards", "uploaded_bytes": 0, "downloaded_bytes": 4096}, ...]}
    """
    if call.require_login().role != "admin":
        raise forbidden("Only the administrator may see the traffic")
    return JSONResponse(call.hub.traffic.report())
