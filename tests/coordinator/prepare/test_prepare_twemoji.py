"""A real small preparation of the Twemoji source: what is on disk, what is secret, and that it comes out the same."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from paris.coordinator.prepare import Prepared, load_prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import NotPreparedError, OutputTakenError, SourceFormatError
from paris.coordinator.prepare.prepared import read_shard_list
from paris.coordinator.prepare.sources.twemoji import read_twemoji
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.text_vocabulary import split_words

FACES = ("winking face", "face with tongue", "thinking face", "nerd face", "zany face", "grimacing face")
CARS = ("automobile", "taxi", "bus", "fire engine", "tractor", "police car")
HELDOUT = ("smirking face", "pensive face", "neutral face", "ambulance", "minibus", "delivery truck")


def settings(names: tuple[str, ...] = FACES + CARS, **other: object) -> dict[str, object]:
    source = {"kind": "twemoji", "names": names, "heldout_names": HELDOUT}
    return {"source": source, "num_clusters": 2, "heldout_rows": 3, "rows_per_shard": 4, "seed": 7, **other}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "data"


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Prepared:
    return prepare(prepare_config(settings()), folder)


def shards(folder: Path, prepared: Prepared, cluster: int) -> list[ShardFile]:
    return [ShardFile(folder / shard.path) for shard in read_shard_list(folder / prepared.clusters[cluster].manifest)]


def captions(folder: Path, prepared: Prepared, cluster: int) -> set[str]:
    return {caption for shard in shards(folder, prepared, cluster) for caption in shard.captions}


def test_clusters_follow_what_the_pictures_look_like(folder: Path, prepared: Prepared) -> None:
    assert {frozenset(captions(folder, prepared, k)) for k in range(2)} == {frozenset(FACES), frozenset(CARS)}


def test_every_file_is_the_one_that_the_record_names(folder: Path, prepared: Prepared) -> None:
    assert load_prepared(folder, check_shards=True) == prepared
    for cluster in prepared.clusters:
        listed = json.loads((folder / cluster.manifest).read_bytes())
        assert listed["cluster"] == cluster.cluster
        assert [shard["rows"] for shard in listed["shards"]] == [4, 2]
        assert cluster.rows == 6
        assert cluster.data_bytes == sum((folder / shard["path"]).stat().st_size for shard in listed["shards"])


def test_a_changed_shard_is_noticed(folder: Path, prepared: Prepared) -> None:
    path = folder / read_shard_list(folder / prepared.clusters[0].manifest)[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"!")
    with pytest.raises(NotPreparedError, match=path.name):
        load_prepared(folder, check_shards=True)
    path.write_bytes(whole)


def test_held_out_rows_stand_in_no_published_file(folder: Path, prepared: Prepared) -> None:
    secret = [ShardFile(folder / cluster.heldout) for cluster in prepared.clusters]
    assert {caption for file in secret for caption in file.captions} == set(HELDOUT)
    secret_ids = {row_id for file in secret for row_id in file.texts("row_id")}
    credited = pq.read_table(folder / "attribution.parquet").to_pylist()
    assert not secret_ids & {row["row_id"] for row in credited}
    published = [path for path in folder.rglob("*") if path.is_file() and "heldout" not in path.parts]
    described = b"".join(path.read_bytes() for path in published if path.suffix in (".json", ".md"))
    # prepared.json is the organiser's own and holds the settings, so the names; what is uploaded does not.
    uploaded = described.replace((folder / "prepared.json").read_bytes(), b"").decode()
    assert not [name for name in HELDOUT if name in uploaded]
    assert not {"smirking", "ambulance"} & set(json.loads((folder / "vocab.json").read_bytes()))


def test_held_out_rows_are_of_the_cluster_that_they_test(folder: Path, prepared: Prepared) -> None:
    for k in range(2):
        heldout = set(ShardFile(folder / prepared.clusters[k].heldout).captions)
        faces = captions(folder, prepared, k) == set(FACES)
        assert heldout == set(HELDOUT[:3] if faces else HELDOUT[3:])


def test_rows_hold_the_picture_on_white_and_its_credits(folder: Path, prepared: Prepared) -> None:
    assert (prepared.latent_shape, prepared.latent_dtype) == ((3, 32, 32), "uint8")
    rows = {caption: shard for k in range(2) for shard in shards(folder, prepared, k) for caption in shard.captions}
    taxi = rows["taxi"].latents[rows["taxi"].captions.index("taxi")]
    assert taxi[:, 0, 0].tolist() == [255, 255, 255]
    red, green, blue = taxi[:, 20, 10].astype(int)
    assert min(red, green) > 150 > blue  # a yellow car
    credit = {row["caption"]: row for row in pq.read_table(folder / "attribution.parquet").to_pylist()}["taxi"]
    assert credit["licence"] == "cc-by-4.0"
    assert credit["url"].endswith("/1f695.png")
    assert "Twitter" in credit["author"]
    assert credit["caption_origin"] == "cldr-short-name"
    assert prepared.attribution in (folder / "README.md").read_text("utf-8")


def test_the_vocabulary_is_all_words_of_the_training_captions(folder: Path, prepared: Prepared) -> None:
    words = json.loads((folder / "vocab.json").read_bytes())
    assert words == sorted({word for name in FACES + CARS for word in split_words(name)})
    assert prepared.text == {"path": "vocab.json", "sha256": prepared.files["vocab.json"]}


def test_clusters_are_described_and_drawn(folder: Path, prepared: Prepared) -> None:
    described = json.loads((folder / "clusters.json").read_bytes())
    faces = next(k for k in range(2) if captions(folder, prepared, k) == set(FACES))
    assert described["clusters"][faces]["frequent_words"][0] == "face"
    assert described["silhouette"] == pytest.approx(prepared.silhouette, abs=1e-6)
    assert prepared.silhouette > 0.1
    with Image.open(folder / "clusters.png") as image:
        assert np.asarray(image.convert("RGB")).std() > 10
        assert min(image.size) > 250


def test_order_of_names_changes_no_digest(prepared: Prepared, tmp_path: Path) -> None:
    again = prepare(prepare_config(settings(tuple(reversed(FACES + CARS)))), tmp_path)
    assert [c.manifest_sha256 for c in again.clusters] == [c.manifest_sha256 for c in prepared.clusters]
    assert again.files == prepared.files
    assert again.work_key != prepared.work_key


def test_a_finished_folder_is_returned_as_it_is_and_never_overwritten(folder: Path, prepared: Prepared) -> None:
    stages: list[str] = []
    assert prepare(prepare_config(settings()), folder, lambda stage, done, total: stages.append(stage)) == prepared
    assert "embed" not in stages
    with pytest.raises(OutputTakenError, match="other settings"):
        prepare(prepare_config(settings(seed=8)), folder)
    assert load_prepared(folder, check_shards=True) == prepared


def test_familiar_names_exist_once_and_leave_enough_to_hold_out() -> None:
    config = prepare_config({"source": "twemoji"})
    items = read_twemoji(config.source)  # type: ignore[arg-type]
    training = [item for item in items if item.role == "training"]
    assert 96 <= len(training) <= 112
    assert len(items) - len(training) >= 4 * config.heldout_per_cluster(26)
    assert len({item.location for item in items}) == len(items)
    names = tomllib.loads(Path(read_twemoji.__code__.co_filename).with_name("emoji_names.toml").read_text("utf-8"))
    listed = [name for part in names.values() for group in part.values() for name in group]
    assert len(set(listed)) == len(listed)


def test_all_base_forms_have_no_skin_tones() -> None:
    config = prepare_config({"source": {"kind": "twemoji", "names": "all"}})
    items = read_twemoji(config.source)  # type: ignore[arg-type]
    assert len(items) > 1500
    assert not [item for item in items if "skin tone" in item.caption]


def test_a_wrong_name_is_answered_with_the_close_ones() -> None:
    config = prepare_config(settings(("red hart",)))
    with pytest.raises(SourceFormatError, match=r"'red hart'.*'red heart'"):
        read_twemoji(config.source)  # type: ignore[arg-type]
