"""What a token may do is known before days of training."""

from __future__ import annotations

import json

import pytest
from portal import Portal

from paris.node.errors import HubRefusedError
from paris.node.hub.client import Hub
from paris.node.work.data import check_token
from paris.protocol.hub_layout import PUBLIC_ENDPOINT


class _Roles(Portal):
    """Answers who the token's user is as the public Hub does."""

    role = "read"

    def own_answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        body = (
            {"name": "ada", "auth": {"accessToken": {"role": self.role}}} if "whoami" in path else {"id": "org/model"}
        )
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def test_a_token_of_the_public_hub_that_may_only_read_is_refused():
    with _Roles("http://127.0.0.1:9") as server:
        hub = Hub(server.url, "a-token")
        check_token(hub, "org/model")  # another Hub may mean something else by it
        hub.endpoint = PUBLIC_ENDPOINT
        with pytest.raises(HubRefusedError, match=r"may only read.*pull request on org/model.*token that may write"):
            check_token(hub, "org/model")
        for server.role in ("write", "fineGrained", None):
            check_token(hub, "org/model")
