"""What `serve` uploads before the loop: the prepared data, once, and run.json with the present peers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import initial_weights
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.lives import RUN_LIFE_S
from paris.coordinator.run.prepared_data import load_manifests
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.state.events import Event, EventKind
from paris.experts.files import file_sha256, write_whole
from paris.protocol.hub_layout import RUN_FILE
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import RunSpec, SharedFile
from paris.protocol.sealer import Sealer

logger = logging.getLogger(__name__)


def publish_data(run: RunDir, hub: RunHub, log: Callable[[Event], None]) -> list[Manifest]:
    """Upload the prepared data once; `published.json` remembers the commit.

    Args:
        run: A prepared run directory.
        hub: Its repos, which exist.
        log: Receives an event after an upload.

    Returns:
        The manifests at the commit that holds their shards.

    Raises:
        NotReadyError: The initial weights are missing, or not those that their record names; nothing is uploaded.
        HubError: The Hub refused, or did not answer.
    """
    record = run.data / "published.json"
    digests = [manifest.sha256 for manifest in load_manifests(run)]
    start = initial_weights(run)
    digests += [start.sha256] if start else []
    known = read_object(record, "Remove it: the data is uploaded again.") if record.is_file() else {}
    if known.get("manifests") != digests or known.get("repo") != hub.data_repo:
        if start:
            _require_whole(run.data / start.path, start)
        logger.info("Uploading %s to %s.", run.data, hub.data_repo)
        revision = hub.upload_data(run.data)
        known = {"repo": hub.data_repo, "revision": revision, "manifests": digests}
        write_whole(record, json.dumps(known, indent=1).encode())
        log(Event(EventKind.UPLOADED, f"Shards and manifests are on the Hub at {revision[:12]}."))
    return load_manifests(run, known["revision"])


def _require_whole(path: Path, named: SharedFile) -> None:
    """Check the initial weights against their record, once, before the upload."""
    if file_sha256(path) != named.sha256:
        what = f"{path} is not the file of {named.sha256[:12]}... that its record names."
        raise NotReadyError(what, "Make it again: paris-coord warm-start or prepare.")


def publish_run_json(run: RunDir, hub: RunHub, sealer: Sealer, spec: RunSpec) -> None:
    """Sign the run's description and write it to run.json, here and on the Hub."""
    envelope = sealer.seal(spec, RUN_LIFE_S)
    hub.upload_file(RUN_FILE, envelope.data, "Run description with the present peers")
    write_whole(run.run_json, envelope.data)
