"""What pages show from the run directory beside the state. None of it is needed: what is missing is left out."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paris.coordinator.model_repo.released import Released
from paris.coordinator.run.config import RunConfig, load_config
from paris.coordinator.run.database import StateLocation, state_location
from paris.coordinator.run.directory import public_join_command
from paris.coordinator.run.grids import FOLDER, Grid, grid_file, grid_times, read_grid
from paris.coordinator.run.json_files import read_object
from paris.coordinator.verify.report import Report
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT

logger = logging.getLogger(__name__)
_MAX_PICTURE_BYTES = 20 * 1024**2
_MAX_SAMPLES = 12
_PICTURE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}\.png")
_SAMPLE_FOLDERS = ("samples", "release", "report")


@dataclass(frozen=True)
class RunFolder:
    """A run directory without its keys: the page, which strangers may talk to, never holds them."""

    path: Path
    config: RunConfig
    run_id: str

    @classmethod
    def open(cls, path: Path, run_id: str) -> RunFolder:
        """Load the settings; errors as of `load_config`."""
        return cls(path, load_config(path), run_id)

    @property
    def state(self) -> StateLocation:
        """Where the run's state is."""
        return state_location(self.path, self.run_id, self.config.state.database)

    @property
    def join_command(self) -> str:
        """What a volunteer types."""
        return public_join_command(self.config)

    def sample_command(self, tag: str) -> str:
        """What draws with the model that has a tag."""
        hub, prompts = self.config.hub, self.config.sampling.prompts if self.config.reads_text else []
        where = [] if hub.endpoint == PUBLIC_ENDPOINT else ["--endpoint", hub.endpoint]
        words = [*prompts[:1], "--model", hub.model_repo, *where, "--revision", tag]
        return shlex.join(["paris-coord", "sample", *words])

    def released(self) -> Released | None:
        """The record of the last release; it is written just before the upload."""
        try:
            return Released.model_validate(self._object(self.path / "released.json"))
        except ValidationError:
            return None

    def clusters(self) -> list[dict[str, Any]]:
        """Descriptions of the clusters, from clusters.json."""
        described = self._object(self.path / "data" / "clusters.json").get("clusters", [])
        return [cluster for cluster in described if isinstance(cluster, dict)]

    def pictures(self) -> list[str]:
        """Names of the newest pictures of samples, for `picture`."""
        found = [file for name in _SAMPLE_FOLDERS for file in (self.path / name).glob("*.png")]
        found = [file for file in found if _PICTURE.fullmatch(file.name)]
        found += [grid_file(self.path, time) for time in self.grid_times()[-1:]]
        newest = sorted(found, key=lambda file: -file.stat().st_mtime)[:_MAX_SAMPLES]
        return [f"{file.parent.name}/{file.name}" for file in newest]

    def grid_times(self) -> list[int]:
        """When the grids of samples were drawn, UTC seconds, oldest first."""
        return grid_times(self.path)

    def grid(self, time: int) -> Grid | None:
        """What the grid of a time shows."""
        return read_grid(self.path, time)

    def picture(self, folder: str, name: str, *, is_public: bool) -> bytes | None:
        """A picture of samples; for the organiser also clusters.png, which shows training pictures.

        Returns:
            PNG; None if there is no such picture.
        """
        is_known = folder in (*_SAMPLE_FOLDERS, FOLDER) or (
            folder == "data" and name == "clusters.png" and not is_public
        )
        file = self.path / folder / name
        if not is_known or not _PICTURE.fullmatch(name) or file.is_symlink() or not file.is_file():
            return None
        return file.read_bytes() if file.stat().st_size <= _MAX_PICTURE_BYTES else None

    def router_bins(self) -> tuple[list[dict[str, float]], float]:
        """The router's `accuracy` and `calibration` error in bins from `low` to `high` noise, and the chance of a hit.

        Empty while it is not trained.
        """
        report = self._object(self.path / "router" / "report.json")
        try:
            pairs = zip(report["accuracy_by_noise"], report["calibration_by_noise"], strict=True)
            bins = [
                {"low": float(low), "high": float(high), "accuracy": float(accuracy), "calibration": float(off)}
                for (low, high, accuracy), (_, _, off) in pairs
            ]
            return bins, float(report["chance"])
        except (KeyError, TypeError, ValueError):
            return [], 0.0

    def reference(self, cluster: int) -> list[tuple[int, float]]:
        """Step and training loss of the organiser's own expert; empty without a reference."""
        curves = self._object(self.path / "data" / "reference.json").get("curves", [])
        try:
            curve: dict[str, Any] = next(
                (c["curve"] for c in curves if c["curve"]["cluster"] == cluster), {"points": []}
            )
            return [(int(point["step"]), float(point["training_loss"])) for point in curve["points"]]
        except (KeyError, TypeError, ValueError):
            logger.debug("The reference cannot be shown.", exc_info=True)
            return []

    def report(self, lease_id: str) -> Report | None:
        """The report of a verification with all its checks, while the run keeps it."""
        path = self.path / "verify" / lease_id / "report.json"
        try:
            return Report.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def free_bytes(self) -> int:
        """Free space of the disk of the run directory."""
        return shutil.disk_usage(self.path).free

    def _object(self, path: Path) -> dict[str, Any]:
        try:
            return read_object(path, "") if path.is_file() else {}
        except ParisError:
            logger.debug("%s cannot be shown.", path, exc_info=True)
            return {}
