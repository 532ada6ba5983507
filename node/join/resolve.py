"""RUN -> the signed RunSpec, checked against the run id and the pinned key.

path/to/run.json, https://host/run.json    the signed RunSpec in a file
org/repo                                   its copy `run.json` in the run's model repo on a Hub
<run id>                                   a run that this home joined before
/ip4/.../p2p/... with --run ID             read from the DHT
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from paris.experts.files import write_whole
from paris.node.errors import (
    HubRefusedError,
    ResolveError,
    RunUnansweredError,
    TransientHubError,
    disk_full_while,
)
from paris.node.hub.client import Hub
from paris.node.machine.config import NodeConfig, expanded
from paris.node.machine.home import Home
from paris.protocol.addresses import require_url
from paris.protocol.canonical import parse_json
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError, RecordError, UnknownRunError
from paris.protocol.hub_answers import plain_url
from paris.protocol.hub_layout import PUBLIC_ENDPOINT, RUN_FILE
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.run_records import RunSpec
from paris.protocol.runid import require_run_id

_logger = logging.getLogger(__name__)
URL_STARTS = ("http://", "https://")
_REPO = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
_GET_AGAIN = "Get run.json again from the organiser."


@dataclass(frozen=True)
class Address:
    """What RUN names: a RunSpec, or the peer to ask for it."""

    run_id: str
    spec: Envelope[RunSpec] | None
    initial_peers: tuple[str, ...]


def resolve(run: str, *, home: Home, config: NodeConfig, run_id: str | None, token: str | None) -> Address:
    """Resolve RUN.

    Args:
        run: As typed.
        home: Has earlier runs and pinned keys.
        config: `hub_endpoint` for `org/repo`.
        run_id: From `--run`; must match the RunSpec.
        token: For private repos; sent to the Hub only.

    Raises:
        ResolveError: Nothing there, or not a run.
        RunUnansweredError: The address does not answer now.
        SignatureError: Signed by a key whose fingerprint is not in the run id.
        VersionError: Of another protocol version.
        RecordError: Malformed.
        AddressError: RUN, or the Hub's endpoint, is no address.
        SettingsError: RUN begins with a `~` that names no folder.
    """
    if run.startswith("/") and "/p2p/" in run and not Path(run).exists():
        if run_id is None:
            raise ResolveError(f"{run} is a peer's address, which does not name a run.", "Add --run ID.")
        require_run_id(run_id)
        return Address(run_id, None, (run,))
    data = _read(run, home=home, config=config, token=token)
    spec = open_run(data, run_id)
    _logger.info("%s names run %s, RunSpec %d.", run, spec.run_id, spec.sequence)
    return Address(spec.run_id, spec, spec.payload.initial_peers)


def open_run(data: bytes, run_id: str | None) -> Envelope[RunSpec]:
    """Verify the bytes of a run.json. Expiry is not checked: an expired one still names the run's peers.

    Raises:
        SignatureError, VersionError, RecordError: As `open_envelope`, with a next step.
        ResolveError: Of another run than `run_id`.
    """
    try:
        return _open_run(data, run_id)
    except RecordError as error:
        if error.next_step:
            raise
        raise RecordError(f"This is not a signed RunSpec: {error.what}", _GET_AGAIN) from error


def _open_run(data: bytes, run_id: str | None) -> Envelope[RunSpec]:
    raw = parse_json(data.strip(), max_bytes=MAX_RECORD_BYTES)
    named = raw.get("run_id") if isinstance(raw, dict) else None
    if not isinstance(named, str):
        raise RecordError("This is not a signed RunSpec: it names no run.", _GET_AGAIN)
    if run_id is not None and named != run_id:
        raise ResolveError(f"This RunSpec is of run {named}, not of {run_id}.", "Check --run and RUN.")
    require_run_id(named)
    envelope = open_envelope(data.strip(), run_id=named, coordinator=None, now=None)
    if not isinstance(envelope.payload, RunSpec):
        raise RecordError(f"This is a {envelope.kind} record, not a RunSpec.", _GET_AGAIN)
    return envelope  # type: ignore[return-value]


def remember(home: Home, spec: Envelope[RunSpec]) -> Envelope[RunSpec]:
    """Pin the run's key and save the newest RunSpec.

    Returns:
        The newer of `spec` and the saved one.

    Raises:
        SignatureError: Another key is pinned for this run.
        RecordError: The saved one is damaged; nothing was changed.
    """
    home.pin(spec.run_id, spec.signer)
    path = home.run_folder(spec.run_id) / RUN_FILE
    if path.exists():
        kept = _open_kept(path, spec.run_id)
        if kept.sequence >= spec.sequence:
            return kept
    with disk_full_while("saving run.json", path.parent):
        write_whole(path, spec.data)
    return spec


def _open_kept(path: Path, run_id: str) -> Envelope[RunSpec]:
    try:
        return open_run(path.read_bytes(), run_id)
    except RecordError as error:
        raise RecordError(
            f"{path} is damaged. {error.what}",
            "Move it away and join by run.json, org/repo or a peer's address; unfinished work stays.",
        ) from error


def newest(specs: list[Envelope[RunSpec]], run_id: str) -> Envelope[RunSpec]:
    """The newest RunSpec from the DHT.

    Raises:
        UnknownRunError: There is none that has not expired.
    """
    alive = [spec for spec in specs if spec.expires_at > time.time()]
    if not alive:
        raise UnknownRunError(
            f"No peer knows the run {run_id}.",
            "Check the run id and the address; the coordinator may be down: ask the organiser.",
        )
    return max(alive, key=lambda spec: spec.sequence)


def _read(run: str, *, home: Home, config: NodeConfig, token: str | None) -> bytes:
    if run.startswith(URL_STARTS):
        return _read_url(run)
    path = expanded(Path(run))
    if path.is_dir():
        path = path / RUN_FILE
    if path.is_file():
        with path.open("rb") as file:
            return file.read(MAX_RECORD_BYTES + 2)
    if run in home.run_ids():
        return _open_kept(home.run_folder(run) / RUN_FILE, run).data
    if is_repo(run):
        return _read_repo(run, config.hub_endpoint or PUBLIC_ENDPOINT, token)
    raise ResolveError(
        f"{run!r} is neither a file, an http(s) address, a Hub repo, a peer's address, nor a run joined before.",
        "Give the path or address of run.json, org/repo, or a multiaddr with --run ID.",
    )


def is_repo(run: str) -> bool:
    """Whether RUN reads org/repo; a file of that name comes first."""
    return _REPO.match(run) is not None and not run.endswith(".json") and not Path(run).exists()


def _read_url(url: str) -> bytes:
    """By the Hub's client without a token: it knows proxies, time limits and login pages."""
    require_url(url)
    try:
        return Hub(PUBLIC_ENDPOINT, None).read_small(url, MAX_RECORD_BYTES + 2)
    except (TransientHubError, HubRefusedError) as error:
        raise _unread(error)(
            f"{plain_url(url)} cannot be read: {error.what}", "Check the network and the address; ask the organiser."
        ) from error


def _read_repo(repo: str, endpoint: str, token: str | None) -> bytes:
    hub = Hub(endpoint, token)
    url = hub.url(repo, RUN_FILE, repo_type="model", revision="main")
    try:
        return hub.read_small(url, MAX_RECORD_BYTES + 2)
    except (TransientHubError, HubRefusedError) as error:
        raise _unread(error)(
            f"The Hub at {endpoint} gives no run.json of {repo}: {error.what}",
            "Check the name and --hub-endpoint; a private repo needs PARIS_HUB_TOKEN.",
        ) from error


def _unread(error: ParisError) -> type[ResolveError]:
    """The kind of error for an address that gave no run.json: only some answers may change."""
    return RunUnansweredError if isinstance(error, TransientHubError) else ResolveError
