from collections import Counter

import pytest
from protocol_samples import (
    COORDINATOR,
    LEASE_ID,
    MANIFEST,
    RUN_ID,
    SAMPLES,
    STRANGER,
    VOLUNTEER,
    fixed_identity,
    hex_of,
    sealed,
)

from paris.protocol import manifest as manifest_module
from paris.protocol.errors import RecordError
from paris.protocol.keys import BUCKETED, all_keys, bucket_of, dht_key, part_of, subkey_of
from paris.protocol.limits import MAX_CLUSTERS, MAX_NUM_BUCKETS, MAX_RECORD_BYTES, MAX_SUBKEY_CHARS
from paris.protocol.manifest import Manifest, join_manifest, split_manifest
from paris.protocol.run_records import Shard


def test_keys_read_as_the_document_says():
    assert dht_key(RUN_ID, "run") == f"paris_v1_{RUN_ID}_run"
    assert dht_key(RUN_ID, "registration") == f"paris_v1_{RUN_ID}_registry"
    assert dht_key(RUN_ID, "manifest", 3) == f"paris_v1_{RUN_ID}_manifest_3"
    assert dht_key(RUN_ID, "want", 0) == f"paris_v1_{RUN_ID}_want_0"


@pytest.mark.parametrize("kind", sorted(SAMPLES.keys() - {"invite"}))
def test_every_record_has_its_place_among_the_keys_of_the_run(kind):
    payload, identity = SAMPLES[kind]
    part = part_of(payload, identity.public_key, 4)
    assert all_keys(RUN_ID)[dht_key(RUN_ID, kind, part)] == (kind, part)
    assert len(subkey_of(payload, identity.public_key)) <= MAX_SUBKEY_CHARS


def test_no_two_places_share_a_key():
    keys = all_keys(RUN_ID)
    assert len(set(keys.values())) == len(keys) == 7 + 2 * MAX_CLUSTERS + 5 * MAX_NUM_BUCKETS


@pytest.mark.parametrize("kind", BUCKETED)
def test_a_volunteers_subkey_starts_with_its_key(kind):
    assert subkey_of(SAMPLES[kind][0], VOLUNTEER.public_key).startswith(VOLUNTEER.public_key)


def test_subkeys_tell_records_apart():
    subkeys = {kind: subkey_of(payload, identity.public_key) for kind, (payload, identity) in SAMPLES.items()}
    assert subkeys["run"] == COORDINATOR.public_key
    assert subkeys["task"] == subkeys["registration"] == "expert-0"
    assert subkeys["lease"] == "expert-0.1"
    assert subkeys["verdict"] == LEASE_ID
    assert subkeys["heartbeat"] == f"{VOLUNTEER.public_key}.{LEASE_ID}"


def test_volunteers_spread_over_the_buckets():
    counts = Counter(bucket_of(fixed_identity(str(i)).public_key, 4) for i in range(400))
    assert set(counts) == {0, 1, 2, 3}
    # Binomial(400, 1/4): mean 100, standard deviation 8.7
    assert all(60 < count < 140 for count in counts.values())


def test_buckets_are_those_that_every_version_computes():
    # Golden: a node and a coordinator of different versions must look in the same bucket.
    keys = (VOLUNTEER.public_key, STRANGER.public_key, COORDINATOR.public_key)
    assert [bucket_of(key, 4) for key in keys] == [0, 0, 2]
    assert [bucket_of(key, 256) for key in keys] == [128, 48, 86]


def test_every_kinds_key_reads_as_the_document_says():
    kinds = {"run": "run", "task": "tasks", "lease": "leases", "verdict": "verdicts", "registration": "registry"}
    assert {kind: dht_key("r", kind) for kind in kinds} == {kind: f"paris_v1_r_{name}" for kind, name in kinds.items()}


def manifest_of(num_shards, path="shards/cluster-000/shard-{:05d}.parquet"):
    shards = tuple(
        Shard(path=path.format(i), sha256=hex_of(f"shard {i}"), bytes=2**50, rows=2**40) for i in range(num_shards)
    )
    return Manifest(cluster=0, repo="a" * 96 + "/" + "b" * 96, revision="0" * 40, shards=shards)


@pytest.mark.parametrize("num_shards", [1, 7, 8, 9, 100])
def test_a_manifest_is_whole_again_whatever_the_order_of_its_parts(num_shards):
    manifest = manifest_of(num_shards)
    chunks = split_manifest(manifest)
    assert join_manifest(list(reversed(chunks)), manifest.sha256) == manifest
    assert (manifest.rows, manifest.num_bytes) == (num_shards * 2**40, num_shards * 2**50)


def test_every_part_of_the_longest_names_fits_a_record():
    for chunk in split_manifest(manifest_of(20, path="s/" + "x" * 190 + "{:05d}")):
        assert len(sealed(chunk).data) <= MAX_RECORD_BYTES


def test_a_missing_part_is_named():
    manifest = manifest_of(20)
    with pytest.raises(RecordError, match="lacks part 1 of 3"):
        join_manifest([chunk for chunk in split_manifest(manifest) if chunk.part != 1], manifest.sha256)


def test_parts_of_another_manifest_are_passed_over():
    manifest = manifest_of(9)
    foreign = split_manifest(manifest_of(10))
    assert join_manifest(foreign + split_manifest(manifest), manifest.sha256) == manifest
    with pytest.raises(RecordError, match="No part"):
        join_manifest(foreign, manifest.sha256)


def test_parts_that_lie_about_their_manifest_are_refused():
    manifest = manifest_of(1)
    swapped = MANIFEST.model_copy(update={"manifest_sha256": manifest.sha256})
    with pytest.raises(RecordError, match="digest"):
        join_manifest([swapped], manifest.sha256)


def test_splitting_a_manifest_takes_its_digest_once(monkeypatch):
    counted = []
    digest = manifest_module.shards_digest
    monkeypatch.setattr(manifest_module, "shards_digest", lambda shards: counted.append(1) or digest(shards))
    shards = tuple(Shard(path=f"a-{n}.parquet", sha256=f"{n:064x}", bytes=1, rows=1) for n in range(100))
    parts = split_manifest(Manifest(0, "org/data", "0" * 40, shards))
    assert (len(parts), len(counted)) == (13, 1)
