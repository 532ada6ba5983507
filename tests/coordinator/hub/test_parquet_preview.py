"""What is shown of Parquet files, among them such as would end or fill the process that reads them."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from paris.coordinator.hub.pages.parquet_preview import Previews

LITTLE_MEMORY_BYTES = 400 * 1024**2


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def test_the_first_rows_are_shown_with_small_pictures(tmp_path):
    path = tmp_path / "x.parquet"
    images = [{"bytes": picture(300, 200), "path": f"{i}.png"} for i in range(12)]
    table = {
        "caption": ["<b>" + "x" * 999] * 12,
        "image": images,
        "raw": [b"abc"] * 12,
        "vector": [list(range(99))] * 12,
    }
    pq.write_table(pa.table(table), path, row_group_size=5)
    previews = Previews()
    found = previews.of("a" * 64, path)
    assert (found.num_rows, found.num_row_groups, found.num_columns, found.problem) == (12, 3, 4, "")
    assert [name for name, _ in found.columns] == list(table)
    assert len(found.rows) == 5
    caption, image, raw, vector = found.rows[0]
    assert caption.text == "<b>" + "x" * 197 + "..."
    assert image.picture.startswith("data:image/jpeg;base64,")
    assert len(image.picture) < 4000
    assert (raw.text, vector.text) == ("3 bytes", "[0, 1, 2, 3, 4, 5, 6, 7, ...] of 99")
    path.unlink()
    assert previews.of("a" * 64, path) is found


def test_rows_that_fill_the_memory_leave_the_columns(tmp_path):
    path = tmp_path / "bomb.parquet"
    with pq.ParquetWriter(
        path, pa.schema([("x", pa.large_binary())]), compression="zstd", use_dictionary=False
    ) as writer:
        one = pa.table({"x": pa.array([bytes(64 * 1024**2)], pa.large_binary())})
        writer.write_table(pa.concat_tables([one] * 5), row_group_size=5)
    assert path.stat().st_size < 1024**2
    found = Previews(LITTLE_MEMORY_BYTES).of("b" * 64, path)
    assert found.columns == (("x", "large_binary"),)
    assert found.rows == ()
    assert "emory" in found.problem


@pytest.mark.parametrize("harm", ["empty", "other", "long footer", "broken pages"])
def test_a_damaged_file_is_described_as_far_as_it_goes(tmp_path, harm):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [f"value {i}" for i in range(1000)]}), path)
    data = path.read_bytes()
    harmed = {
        "empty": b"",
        "other": b"PAR1" + b"\xff" * 40 + (40).to_bytes(4, "little") + b"PAR1",
        "long footer": data[:-8] + (2**31).to_bytes(4, "little") + b"PAR1",
        "broken pages": data[:4] + b"\xff" * 400 + data[404:],
    }[harm]
    path.write_bytes(harmed)
    found = Previews().of("c" * 64, path)
    assert found.problem != ""
    assert found.rows == ()
    assert len(found.columns) == (harm == "broken pages")


def test_a_process_that_ends_by_a_signal_is_a_file_that_takes_too_much(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    found = Previews(memory_bytes=40 * 1024**2).of("d" * 64, path)  # less than Python itself takes with its libraries
    assert found.columns == ()
    assert found.problem
