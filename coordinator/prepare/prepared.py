"""The record of a finished preparation: `prepared.json`, written last, so that its presence means complete.

data/
  shards/cluster-000/shard-00000.parquet      published
  manifests/cluster-000.json                  published: {"cluster":0,"shards":[{path,sha256,bytes,rows},...]}
  vocab.json attribution.parquet README.md    published
  clusters.json clusters.png clusters.html    descriptions of the clusters
  heldout/cluster-000.parquet                 secret
  prepared.json                               this record
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.coordinator.prepare.errors import NotPreparedError
from paris.experts.files import file_sha256, write_whole
from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import RecordError
from paris.protocol.fields import Sha256
from paris.protocol.manifest import shards_digest
from paris.protocol.run_records import Shard

RECORD = "prepared.json"
_MAX_RECORD_BYTES = 4 * 2**20
_MAX_MANIFEST_BYTES = 64 * 2**20


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PreparedCluster(_Closed):
    """One cluster's files."""

    cluster: int
    rows: int
    """Training rows, in all shards."""
    data_bytes: int
    """Bytes of all shards."""
    num_shards: int
    manifest: str
    """Path of the manifest, relative to the data folder."""
    manifest_sha256: Sha256
    """Digest of the canonical shard list (`paris.protocol.manifest.shards_digest`)."""
    heldout: str
    """Path of the secret rows, relative to the data folder."""
    heldout_rows: int
    heldout_sha256: Sha256


class Prepared(_Closed):
    """The whole data set."""

    version: Literal[1] = 1
    config: dict[str, Any]
    """The settings, fields of `PrepareConfig`."""
    work_key: Sha256
    """Digest of settings and source; equal keys mean equal data."""
    source: str
    licence: str
    attribution: str
    """The credit line that must accompany the data, or empty."""
    clusters: tuple[PreparedCluster, ...]
    latent_shape: tuple[int, ...]
    latent_dtype: Literal["uint8", "float16", "int8"]
    dropped: dict[str, int]
    """Dropped rows by reason."""
    text: dict[str, str]
    """Fields of `TextConfig` for this data: path and digest of vocab.json. Empty without a vocabulary."""
    files: dict[str, Sha256]
    """Digests of the published files beside the shards."""
    silhouette: float
    silhouette_before: float
    """Before the sizes were balanced."""
    davies_bouldin: float
    sizes_before: list[Annotated[int, Field(ge=0)]]

    @property
    def num_rows(self) -> int:
        """Training rows of all clusters."""
        return sum(cluster.rows for cluster in self.clusters)


def save_prepared(prepared: Prepared, folder: Path) -> None:
    """Write the record, as the last file of a preparation."""
    write_whole(folder / RECORD, canonical_bytes(prepared.model_dump(mode="json")))


def load_prepared(folder: Path, *, check_shards: bool = False) -> Prepared:
    """Read a finished preparation.

    Args:
        folder: The data folder.
        check_shards: Also hash every shard and held-out file, not only the manifests and the small files.

    Raises:
        NotPreparedError: It is not finished, or a file differs from the record; the first is named.
    """
    path = folder / RECORD
    if not path.is_file():
        raise NotPreparedError(f"{folder} has no finished data set: {RECORD} is missing.", "Run paris-coord prepare.")
    try:
        prepared = Prepared.model_validate(parse_json(path.read_bytes(), max_bytes=_MAX_RECORD_BYTES))
    except (RecordError, ValidationError) as error:
        raise NotPreparedError(f"{path} cannot be read: {error}.", "Delete the folder and prepare again.") from error
    for name, sha256 in prepared.files.items():
        _check_file(folder / name, sha256)
    for cluster in prepared.clusters:
        shards = read_shard_list(folder / cluster.manifest)
        if shards_digest(shards) != cluster.manifest_sha256:
            raise _differs(folder / cluster.manifest)
        if check_shards:
            _check_file(folder / cluster.heldout, cluster.heldout_sha256)
            for shard in shards:
                _check_file(folder / shard.path, shard.sha256)
    return prepared


def read_shard_list(path: Path) -> tuple[Shard, ...]:
    """The shards in a manifest file.

    Raises:
        NotPreparedError: The file is missing or malformed.
    """
    try:
        raw = parse_json(path.read_bytes(), max_bytes=_MAX_MANIFEST_BYTES)
        return tuple(Shard.model_validate(entry) for entry in raw["shards"])
    except (OSError, RecordError, ValidationError, KeyError, TypeError) as error:
        raise NotPreparedError(f"The manifest {path} cannot be read: {error}.", "Prepare again.") from error


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file() or file_sha256(path) != sha256:
        raise _differs(path)


def _differs(path: Path) -> NotPreparedError:
    return NotPreparedError(f"{path} is missing or differs from {RECORD}.", "Delete the folder and prepare again.")
