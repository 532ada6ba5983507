"""The folder that keeps everything of this volunteer.

home/
    identity.key  config.toml  hub_token  lock
    addresses.json                      which run each org/repo and URL named; by hash, since URLs may hold secrets
    sequence                            records of later starts are numbered above it (`protocol/sealer.py`)
    logs/node.log                       what the node did, tracebacks included; rotated
    cache/<sha256>                      downloaded files by content
    runs/<run_id>/run.json              the newest signed RunSpec seen
    runs/<run_id>/coordinator.pub       the run's key, pinned at the first join
    runs/<run_id>/agreed                empty: the volunteer has seen what the run is and takes
    runs/<run_id>/invite                the organiser's invite, if the volunteer has one
    runs/<run_id>/want-work             the proof of work of this node's key
    runs/<run_id>/text/                 the run's frozen text encoder
    runs/<run_id>/drawings/<task>/      what its expert drew as it learned (`drawings.py`)
    runs/<run_id>/<task>-<attempt>/     one unit (`unit.py`)
    devices/<device>/                   the home of one node of several; settings and tokens are read in the home above
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from paris.experts.files import write_whole
from paris.node.errors import disk_full_while
from paris.node.machine.drawings import Drawings
from paris.node.machine.unit import FINAL, Unit, UnitFolder
from paris.protocol.errors import RecordError, SignatureError
from paris.protocol.hub_layout import RUN_FILE
from paris.protocol.runid import require_run_id

_ADDRESSES = "addresses.json"
_DEVICES = "devices"
_KEY = re.compile(r"[0-9a-f]{64}")


class Home:
    """Paths in the node's folder.

    Args:
        path: The folder; created when something is first saved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity.key"
        self.cache = path / "cache"
        self.log = path / "logs" / "node.log"

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run.

        Raises:
            RecordError: Not a run id.
        """
        require_run_id(run_id)
        return self.path / "runs" / run_id

    def text_folder(self, run_id: str) -> Path:
        """The folder of a run's text encoder and initial weights."""
        return self.run_folder(run_id) / "text"

    def agreed(self, run_id: str) -> Path:
        """The mark that the volunteer has been told of a run and joins it."""
        return self.run_folder(run_id) / "agreed"

    def invite(self, run_id: str) -> Path:
        """Where an invite to a run is kept."""
        return self.run_folder(run_id) / "invite"

    def want_work(self, run_id: str) -> Path:
        """Where the proof of work for a run is kept."""
        return self.run_folder(run_id) / "want-work"

    def drawings(self, run_id: str, task_id: str) -> Drawings:
        """What a task's expert drew; `task_id` comes from a verified lease."""
        return Drawings(self.run_folder(run_id) / "drawings" / task_id)

    def pin(self, run_id: str, public_key: str) -> None:
        """Save a run's key at the first join; later joins must have the same.

        Raises:
            SignatureError: Another key is pinned for this run; the pin stays.
            RecordError: The pinned key is damaged; it stays.
        """
        path = self.run_folder(run_id) / "coordinator.pub"
        if path.exists():
            pinned = path.read_bytes().decode("ascii", "replace").strip()
            if not _KEY.fullmatch(pinned):
                raise RecordError(
                    f"{path} is damaged: it holds no public key.",
                    "Restore it from a copy; or compare the run's address with the organiser's and remove the file: "
                    "the key is pinned again.",
                )
            if pinned != public_key:
                raise SignatureError(
                    f"Run {run_id} was joined with key {pinned[:12]}..., "
                    f"but this RunSpec is signed by {public_key[:12]}....",
                    "Do not trust this source; get the run's address again from its organiser.",
                )
            return
        with disk_full_while("saving coordinator.pub", path.parent):
            write_whole(path, (public_key + "\n").encode("ascii"))

    def unit_folder(self, run_id: str, place: str, attempt: int) -> UnitFolder:
        """The folder of one unit; `place` (`unit.place_of`) and `attempt` come from a verified lease."""
        return UnitFolder(self.run_folder(run_id) / f"{place}-{attempt}")

    def units(self, run_id: str) -> list[tuple[UnitFolder, Unit]]:
        """All units of a run, oldest first."""
        units = []
        for path in sorted(self.run_folder(run_id).glob("*/unit.json")):
            folder = UnitFolder(path.parent)
            unit = folder.load()
            if unit is not None:
                units.append((folder, unit))
        return sorted(units, key=lambda pair: pair[1].history[0][1] if pair[1].history else 0.0)

    def unfinished(self, run_id: str) -> tuple[UnitFolder, Unit] | None:
        """The unit to continue, or None."""
        open_units = [pair for pair in self.units(run_id) if pair[1].state not in FINAL]
        return open_units[0] if open_units else None

    def note_address(self, address: str, run_id: str) -> None:
        """Remember which run an address of the network names."""
        known, key = self._addresses(), _key_of(address)
        if known.get(key) != run_id:
            data = json.dumps({**known, key: run_id}, indent=1).encode("utf-8")
            with disk_full_while("saving addresses.json", self.path):
                write_whole(self.path / _ADDRESSES, data)

    def run_at(self, address: str) -> str | None:
        """The joined run that an address named when it answered last."""
        run_id = self._addresses().get(_key_of(address))
        return run_id if run_id in self.run_ids() else None

    def _addresses(self) -> dict[str, str]:
        """Empty if there is none, or if it is damaged: then the network must answer, as at the first join."""
        try:
            known = json.loads((self.path / _ADDRESSES).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def of_device(self, name: str) -> Home:
        """The home of the node of one device, where a join takes several.

        Args:
            name: As `paris.node.devices.portions` names it, such as "cuda:1".
        """
        return Home(self.path / _DEVICES / name.replace(":", "-"))

    @property
    def device(self) -> str:
        """The name that `of_device` was given; empty for any other home."""
        return _device_name(self.path) if self.path.parent.name == _DEVICES else ""

    def of_devices(self) -> dict[str, Home]:
        """The homes of all devices that joins with several devices have taken so far, by name."""
        folders = sorted((self.path / _DEVICES).glob("*/"))
        return {_device_name(folder): Home(folder) for folder in folders}

    def run_ids(self) -> list[str]:
        """Runs that this home has joined."""
        return sorted(path.parent.name for path in (self.path / "runs").glob(f"*/{RUN_FILE}"))


def _device_name(folder: Path) -> str:
    return folder.name.replace("cuda-", "cuda:")


def _key_of(address: str) -> str:
    return hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
