"""A cluster's shard list: complete on the Hub, in signed parts of at most 4 KiB in the DHT.

    manifests/cluster-000.json
    {"cluster":0,"repo":"org/data","revision":"<40 hex>","shards":[{path,sha256,bytes,rows},...]}

`manifest_sha256` is the digest of the canonical shard list without repo and revision, so it depends only on the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from paris.protocol.canonical import canonical_bytes, digest
from paris.protocol.errors import RecordError
from paris.protocol.run_records import ManifestPart, Shard

_SHARDS_PER_PART = 8


@dataclass(frozen=True)
class Manifest:
    """All shards of one cluster, in the order of their training indices."""

    cluster: int
    repo: str
    revision: str
    shards: tuple[Shard, ...]

    @property
    def sha256(self) -> str:
        """Digest of the shard list."""
        return shards_digest(self.shards)

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.bytes for shard in self.shards)


def shards_digest(shards: tuple[Shard, ...]) -> str:
    """SHA-256 of the canonical shard list."""
    return digest(canonical_bytes([shard.model_dump(mode="json") for shard in shards]))


def split_manifest(manifest: Manifest) -> list[ManifestPart]:
    """Split a manifest into parts that fit into a record each."""
    sha256 = manifest.sha256
    pieces = [manifest.shards[i : i + _SHARDS_PER_PART] for i in range(0, len(manifest.shards), _SHARDS_PER_PART)]
    return [
        ManifestPart(
            cluster=manifest.cluster,
            part=part,
            num_parts=len(pieces),
            manifest_sha256=sha256,
            repo=manifest.repo,
            revision=manifest.revision,
            shards=piece,
        )
        for part, piece in enumerate(pieces)
    ]


def join_manifest(parts: list[ManifestPart], manifest_sha256: str) -> Manifest:
    """Assemble a manifest from its parts.

    Args:
        parts: In any order; parts of other manifests are ignored.
        manifest_sha256: The expected digest, from the task.

    Raises:
        RecordError: A part is missing, or the digest differs.
    """
    by_index = {part.part: part for part in parts if part.manifest_sha256 == manifest_sha256}
    if not by_index:
        raise RecordError(f"No part of manifest {manifest_sha256[:12]}... was found.")
    first = next(iter(by_index.values()))
    missing = [index for index in range(first.num_parts) if index not in by_index]
    if missing:
        raise RecordError(f"Manifest {manifest_sha256[:12]}... lacks part {missing[0]} of {first.num_parts}.")
    shards = tuple(shard for index in range(first.num_parts) for shard in by_index[index].shards)
    manifest = Manifest(first.cluster, first.repo, first.revision, shards)
    if manifest.sha256 != manifest_sha256:
        raise RecordError(f"The manifest's parts have digest {manifest.sha256[:12]}..., not {manifest_sha256[:12]}....")
    return manifest
