"""The files of a run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.config import RunConfig, load_config
from paris.protocol.hub_layout import RUN_FILE
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity


@dataclass(frozen=True)
class RunDir:
    """A run's folder with its configuration and key loaded."""

    path: Path
    config: RunConfig
    identity: Identity

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Load a run directory.

        Raises:
            RunDirError: It has no run.toml.
            ConfigError: run.toml is not valid.
            IdentityError: The run's key is missing or unreadable.
        """
        config = load_config(path)
        return cls(path.resolve(), config, Identity.load(path / "keys" / "run.key"))

    @property
    def run_id(self) -> str:
        """The run's id, which vouches for its key."""
        return make_run_id(self.config.run.name, self.identity.public_key)

    @property
    def run_json(self) -> Path:
        """The signed RunSpec that volunteers join."""
        return self.path / RUN_FILE

    @property
    def data(self) -> Path:
        """What `prepare` made."""
        return self.path / "data"

    @property
    def initial_weights(self) -> Path:
        """Names the initial weights among the data; absent where the run starts from its seed."""
        return self.data / "initial_weights.json"

    @property
    def warm_start(self) -> Path:
        """Snapshots of `warm-start`, while it trains."""
        return self.path / "warm-start"

    @property
    def heldout_files(self) -> list[Path]:
        """The secret rows, a file a cluster; they may be missing where the data is elsewhere."""
        return [self.data / "heldout" / f"cluster-{k:03d}.parquet" for k in range(self.config.run.num_experts)]

    @property
    def state_file(self) -> Path:
        """The coordinator's SQLite file."""
        return self.path / "state.sqlite"

    @property
    def peer_key(self) -> Path:
        """The DHT peer's identity."""
        return self.path / "keys" / "peer.key"

    @property
    def hub_data(self) -> Path:
        """The embedded Hub's files."""
        return self.path / "hub"

    @property
    def router(self) -> Path:
        """The trained router and its report."""
        return self.path / "router"

    @property
    def samples(self) -> Path:
        """What the experts drew for the router, where it is trained on that."""
        return self.path / "samples"

    @property
    def release(self) -> Path:
        """The assembled, sampleable model."""
        return self.path / "release"

    @property
    def logs(self) -> Path:
        """One log file a child process."""
        return self.path / "logs"

    def require_prepared(self) -> Path:
        """The prepared data's closing record.

        Raises:
            RunDirError: `prepare` has not finished here.
        """
        path = self.data / "prepared.json"
        if not path.is_file():
            raise RunDirError(f"{self.data} holds no prepared data.", f"Run: paris-coord prepare {self.path}")
        return path


def require_empty(path: Path) -> None:
    """Refuse to make a run where something already is.

    Raises:
        RunDirError: The folder exists and is not empty; nothing is changed.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunDirError(f"{path} already exists and is not empty.", "Choose another folder, or remove it first.")
