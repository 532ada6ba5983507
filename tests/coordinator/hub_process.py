"""A Hub as a real process, and a bare HTTP client that says exactly what it is told to."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from deadlines import DEADLINE_S

from paris.coordinator.hub import add_user
from paris.protocol.lifeline import child_environment

OWNER_TOKEN = "owner_token_owner_token"
STRANGER_TOKEN = "stranger_token_stranger_token"
OTHER_TOKEN = "another_stranger_token_here"
SMALL_PARTS = {"multipart_from_bytes": 2 * 1024**2, "part_bytes": 1024**2}


class HubProcess:
    """`python -m paris.coordinator.hub`; ends with the test process whatever happens to it."""

    def __init__(self, data_dir: Path, *, port: int = 0, limits: dict[str, object] | None = None) -> None:
        self.data_dir = data_dir
        add_user(data_dir, "lab", OWNER_TOKEN, ["guild"])
        command = [sys.executable, "-m", "paris.coordinator.hub", "--data", str(data_dir), "--port", str(port)]
        command += ["--open-registration", "--limits", json.dumps(limits or {})]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment()
        )
        line = self.process.stdout.readline().decode()
        assert line.startswith("hub ready at http://127.0.0.1:"), self.process.stderr.read().decode()
        self.url = line.split()[-1]
        self.port = urlsplit(self.url).port

    def stop(self) -> int:
        self.process.terminate()
        return self.gone()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.gone()

    def gone(self) -> int:
        code = self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        return code


def client_environment(url: str, home: Path) -> dict[str, str]:
    """What the stock client needs: nothing of this machine's own account or cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **kept,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # else `hf` asks the package index at every call
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_COLOR": "1",
        "OWNER_TOKEN": OWNER_TOKEN,
        "STRANGER_TOKEN": STRANGER_TOKEN,
    }


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Wire:
    """Requests whose path and headers go out as they are."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body=None, *, token: str | None = None, headers=None) -> Answer:
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def create_repo(self, name: str, **settings: object) -> None:
        body = {"name": name, "organization": "lab", **settings}
        assert self.ask("POST", "/api/repos/create", body, token=OWNER_TOKEN).status == 200

    def send_object(self, repo: str, data: bytes, *, token: str = OWNER_TOKEN) -> str:
        """Upload an LFS object in one piece and return its sha256."""
        upload = self.upload_address(repo, data, token=token)
        assert self.ask("PUT", upload, data).status == 200
        return hashlib.sha256(data).hexdigest()

    def batch(self, repo: str, data: bytes, *, token: str) -> dict:
        objects = [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}]
        body = {"operation": "upload", "objects": objects}
        answer = self.ask("POST", f"/{repo}.git/info/lfs/objects/batch", body, token=token)
        assert answer.status == 200, answer.body
        return answer.json()["objects"][0]

    def upload_address(self, repo: str, data: bytes, *, token: str) -> str:
        address = urlsplit(self.batch(repo, data, token=token)["actions"]["upload"]["href"])
        return f"{address.path}?{address.query}"

    def commit(self, repo: str, *lines: dict, token: str = OWNER_TOKEN, rev: str = "main", query: str = "") -> Answer:
        lines = ({"key": "header", "value": {"summary": "a commit"}}, *lines)
        body = "\n".join(json.dumps(line) for line in lines).encode()
        return self.ask("POST", f"/api/models/{repo}/commit/{rev}{query}", body, token=token)


def small_file(path: str, data: bytes) -> dict:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}}


def lfs_file(path: str, oid: str, **more: object) -> dict:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, **more}}
