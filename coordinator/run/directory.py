"""Paths of a run directory."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.config import RunConfig, load_config
from paris.coordinator.run.database import STATE_FILE, StateLocation, state_location
from paris.protocol.hub_layout import PUBLIC_ENDPOINT, RUN_FILE
from paris.protocol.runid import make_run_id
from paris.protocol.secrets import is_encrypted
from paris.protocol.signing import Identity, PublicIdentity, Signer

PRIVATE_KEY, PUBLIC_KEY = Path("keys") / "run.key", Path("keys") / "run.pub"
"""The second is there where `paris-coord signer` has the first."""


@dataclass(frozen=True)
class RunDir:
    """A run's folder with its loaded settings and signing key."""

    path: Path
    config: RunConfig
    identity: Signer
    """Who signs; a key of the run that is elsewhere signs nothing here."""

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Load settings and key.

        Raises:
            RunDirError: The folder has no run.toml.
            ConfigError: run.toml is invalid.
            IdentityError: The run's key is missing or unreadable.
        """
        config, key = load_config(path), path / PRIVATE_KEY
        is_elsewhere = not key.exists() and (path / PUBLIC_KEY).exists()
        return cls(path.resolve(), config, PublicIdentity(path / PUBLIC_KEY) if is_elsewhere else Identity.load(key))

    @property
    def run_id(self) -> str:
        """The run's name and the fingerprint of its key."""
        return make_run_id(self.config.run.name, self.identity.public_key)

    @property
    def run_json(self) -> Path:
        """The signed RunSpec that volunteers join."""
        return self.path / RUN_FILE

    @property
    def join_command(self) -> str:
        """What a volunteer types; with an embedded Hub, who has run.json."""
        if not self.config.hub.embedded:
            return public_join_command(self.config)
        plain = [] if is_encrypted(self.config.hub.endpoint) else ["--allow-plain-http"]
        return shlex.join(["paris-node", "join", str(self.run_json), *plain])

    @property
    def data(self) -> Path:
        """Output of `prepare`."""
        return self.path / "data"

    @property
    def initial_weights(self) -> Path:
        """Record of the initial weights; missing if the experts start from random weights."""
        return self.data / "initial_weights.json"

    @property
    def warm_start(self) -> Path:
        """Snapshots of an unfinished `warm-start`."""
        return self.path / "warm-start"

    @property
    def heldout_files(self) -> list[Path]:
        """The secret held-out rows, one file for each cluster; missing on a machine without the data."""
        return [self.data / "heldout" / f"cluster-{k:03d}.parquet" for k in range(self.config.run.num_experts)]

    @property
    def reference(self) -> Path:
        """Scores of the organiser's own experts by step: secret; missing without `paris-coord reference`."""
        return self.data / "reference.json"

    @property
    def reference_work(self) -> Path:
        """Snapshots of an unfinished `reference`."""
        return self.path / "reference"

    @property
    def state_file(self) -> Path:
        """SQLite file of the coordinator's state, if `state` is no database."""
        return self.path / STATE_FILE

    @property
    def state(self) -> StateLocation:
        """Where the coordinator's state is."""
        return state_location(self.path, self.run_id, self.config.state.database)

    @property
    def peer_key(self) -> Path:
        """Identity of the DHT peer."""
        return self.path / "keys" / "peer.key"

    @property
    def hub_data(self) -> Path:
        """Files of the embedded Hub."""
        return self.path / "hub"

    @property
    def verify(self) -> Path:
        """One folder for each submission, named by its lease: report and downloaded candidate."""
        return self.path / "verify"

    @property
    def router(self) -> Path:
        """The trained router and its report."""
        return self.path / "router"

    @property
    def samples(self) -> Path:
        """Samples of the experts, for `train-router --from-samples`."""
        return self.path / "samples"

    @property
    def release(self) -> Path:
        """The released model."""
        return self.path / "release"

    @property
    def released(self) -> Path:
        """What was released last; missing before the first release."""
        return self.path / "released.json"

    @property
    def logs(self) -> Path:
        """One log file for each child process."""
        return self.path / "logs"

    def require_prepared(self) -> Path:
        """Path of `prepared.json`, which `prepare` writes last.

        Raises:
            RunDirError: `prepare` has not finished.
        """
        path = self.data / "prepared.json"
        if not path.is_file():
            raise RunDirError(f"{self.data} contains no prepared data.", f"Run: paris-coord prepare {self.path}")
        return path


def public_join_command(config: RunConfig) -> str:
    """What a volunteer types who has no file of the run, only the address of its Hub."""
    hub = config.hub
    words = ["paris-node", "join", hub.model_repo]
    words += [] if hub.endpoint == PUBLIC_ENDPOINT else ["--hub-endpoint", hub.endpoint]
    return shlex.join([*words, *([] if is_encrypted(hub.endpoint) else ["--allow-plain-http"])])


def require_writable(path: Path) -> None:
    """Check that a folder can be created, or written if it is there; nothing stays of the attempt.

    Raises:
        RunDirError: It cannot.
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".paris-", dir=existing)).rmdir()
    except OSError as error:
        why = "it is no folder" if existing.exists() and not existing.is_dir() else error.strerror
        raise RunDirError(f"{path} cannot be written: {existing}: {why}.", "Choose another folder.") from error


def require_empty(path: Path) -> None:
    """Check that a folder is missing or empty.

    Raises:
        RunDirError: It is neither.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunDirError(f"{path} already exists and is not empty.", "Choose another folder, or remove it first.")
