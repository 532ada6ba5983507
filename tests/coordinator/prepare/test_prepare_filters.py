"""What is left out, counted and listed; near duplicates against a search of all pairs."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from click.testing import Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from picture_piles import Pictured, pile, png, write_folder
from PIL import Image
from typer.testing import CliRunner

from paris.coordinator.cli.app import app
from paris.coordinator.cli.preparing import print_dropped
from paris.coordinator.prepare import Prepared, load_prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import NotPreparedError
from paris.coordinator.prepare.rows.drops import DropList, Dropped, read_dropped
from paris.coordinator.prepare.selecting.near_duplicates import GRID, near_duplicates
from paris.coordinator.run.create import create_run


def naive(hashes: list[int], grounds: list[int], max_bits: int) -> list[int]:
    kept: list[int] = []
    found = []
    for place, value in enumerate(hashes):
        near = [
            other
            for other in kept
            if (hashes[other] ^ value).bit_count() <= max_bits and abs(grounds[other] - grounds[place]) <= 12
        ]
        found.append(near[0] if near else -1)
        if not near:
            kept.append(place)
    return found


def of_grounds(grounds: list[int]) -> Callable[[Sequence[int]], np.ndarray]:
    """Pictures of one colour each, but for one corner that they share."""
    colours = np.repeat(np.asarray(grounds, np.uint8)[:, None], 3 * GRID * GRID, axis=1)
    colours[:, :3] = 0
    return lambda rows: colours[rows]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    max_bits=st.integers(0, 8),
    base=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    flips=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 63), max_size=6), st.integers(0, 40)), max_size=60
    ),
)
def test_near_duplicates_are_those_of_a_search_of_all_pairs(
    max_bits: int, base: list[int], flips: list[tuple[int, list[int], int]]
) -> None:
    hashes, grounds = list(base), [0] * len(base)
    for which, bits, ground in flips:
        value = base[which % len(base)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
        grounds.append(ground)
    found = near_duplicates(np.asarray(hashes, np.uint64), of_grounds(grounds), max_bits).tolist()
    assert found == naive(hashes, grounds, max_bits)


def test_thirty_thousand_hashes_of_which_most_are_equal_are_no_quadratic_work() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 30_000, np.uint64)
    hashes[::2] = hashes[0]  # half of all pictures are blank, in every shade
    grounds = rng.integers(0, 256, 30_000)
    grounds[0] = 100
    found = near_duplicates(hashes, of_grounds(grounds.tolist()), 4)
    blank = found[2::2]
    assert (blank[np.abs(grounds[2::2] - 100) <= 12] >= 0).all()
    assert (blank >= 0).mean() > 0.99
    assert (found[1::2] == -1).mean() > 0.99


def test_icons_of_one_shape_in_several_colours_are_not_doubles(tmp_path: Path) -> None:
    names = (
        "red heart",
        "blue heart",
        "green heart",
        "orange heart",
        "slightly smiling face",
        "slightly frowning face",
    )
    source = {"kind": "twemoji", "names": names, "heldout_names": ()}
    config = {"source": source, "num_clusters": 1, "heldout_rows": 1, "near_duplicate_bits": 8}
    assert prepare(prepare_config(config), tmp_path).dropped == {}


def resized(data: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((70, 56)).save(file, "JPEG", quality=80)
    return file.getvalue()


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    root = tmp_path_factory.mktemp("filtered")
    pictures = [
        *pile(),
        Pictured("long", png("disc", 1, (400, 40)), "long", "Ada", "cc0"),
        Pictured("tiny", png("disc", 2, (12, 15)), "tiny", "Ada", "cc0"),
        Pictured("bought", png("blocks", 1, (90, 90)), "bought", "Cy", "CC BY-NC 4.0"),
        Pictured("nameless", png("blocks", 2, (90, 90)), "nameless", "Cy", "?"),
        Pictured("speechless", png("blocks", 3, (90, 90)), None, "Cy", "CC0"),
        Pictured("zz-again", pile()[0].data, "the same bytes", "Eve", "CC0"),
        Pictured("zz-smaller", resized(pile()[7].data), "the same at another size", "Eve", "CC0"),
    ]
    write_folder(root / "pile", pictures)
    (root / "pile" / "out.png").write_bytes(png("disc", 3, (90, 90)))
    (root / "pile" / "out.json").write_text(json.dumps({"caption": "opted out", "noai": True}))
    (root / "pile" / "broken.png").write_bytes(pile()[0].data[:70])
    (root / "pile" / "broken.json").write_text(json.dumps({"caption": "broken", "licence": "cc0"}))
    config = {
        "source": {"kind": "folder", "path": str(root / "pile")},
        "licences": "cc-by,cc0",
        "near_duplicate_bits": 3,
        "max_aspect": 3.0,
        "min_side_px": 20,
        "num_clusters": 2,
        "heldout_rows": 1,
        "image_size": 16,
    }
    return root, prepare(prepare_config(config), root / "data")


EXPECTED = {
    "long.png": ("too long and thin", "400x40"),
    "tiny.png": ("too small", "12x15"),
    "bought.png": ("licence not allowed", "cc-by-nc-4.0"),
    "nameless.png": ("licence not allowed", "unknown"),
    "speechless.png": ("no caption", "its fields: artist, LICENSE, url"),
    "zz-again.png": ("same bytes as another picture", "disc-0.png"),
    "zz-smaller.png": ("nearly the same picture as another", "blocks-2.png"),
    "out.png": ("opted out of training", "noai: True"),
}


def test_every_row_that_is_left_out_is_listed_with_its_reason(filtered: tuple[Path, Prepared]) -> None:
    root, prepared = filtered
    listed = {row.row_id: (row.reason, row.detail) for row in read_dropped(root / "data")}
    assert listed.pop("broken.png")[0] == "unreadable picture"
    assert listed == EXPECTED
    assert prepared.dropped["licence not allowed"] == 2
    assert sum(prepared.dropped.values()) == len(EXPECTED) + 1
    assert prepared.num_rows + sum(cluster.heldout_rows for cluster in prepared.clusters) == 10


def test_the_list_of_what_was_left_out_is_not_published(filtered: tuple[Path, Prepared]) -> None:
    assert "dropped.parquet" not in filtered[1].files


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_the_commands_take_filters_and_list_what_they_left_out(filtered: tuple[Path, Prepared], tmp_path: Path) -> None:
    run = tmp_path / "my run"
    command("init", run)
    settings = tomllib.loads((run / "run.toml").read_text("utf-8"))
    settings["data"] |= {"source": {"kind": "folder", "path": str(filtered[0] / "pile")}, "heldout_rows": 1}
    (run / "run.toml").write_text(tomli_w.dumps(settings), "utf-8")
    with pytest.raises(NotPreparedError, match="no list of dropped rows"):
        command("dropped", run)
    said = command("prepare", run, "--licences", "cc-by-nc,CC BY,cc0")
    assert "1 licence not allowed" in said.stderr
    assert f"paris-coord dropped '{run}'" in said.stderr
    lines = command("dropped", run).stdout.splitlines()
    assert f"publish-tasks '{run}'" in said.stderr
    assert "nameless.png\tlicence not allowed\tunknown" in lines
    assert len(lines) == sum(load_prepared(run / "data").dropped.values())
    chosen = command("dropped", run, "--json", "--reason", "no caption").stdout
    detail = EXPECTED["speechless.png"][1]
    assert json.loads(chosen) == {"row_id": "speechless.png", "reason": "no caption", "detail": detail}


def test_names_of_strangers_files_do_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b]0;owned\x07\r\n.png"
    run = create_run(tmp_path / "run", recipe="emoji-quick")
    with DropList(tmp_path / "spool") as drops:
        drops.add(Dropped(evil, "too small", "1x1\tpx\x1b[2K"))
        run.data.mkdir(exist_ok=True)
        drops.publish(run.data / "dropped.parquet")
    print_dropped(run, None, as_json=False)
    assert capsys.readouterr().out == "a\\x1b]0;owned\\x07\\r .png\ttoo small\t1x1 px\\x1b[2K\n"
    print_dropped(run, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["row_id"] == evil


def test_a_list_that_is_not_published_leaves_nothing_behind(tmp_path: Path) -> None:
    with DropList(tmp_path / "spool") as drops:
        for number in range(40_000):
            drops.add(Dropped(str(number), "too small"))
        assert (tmp_path / "spool").stat().st_size > 100_000
    assert drops.counts == {"too small": 40_000}
    assert list(tmp_path.iterdir()) == []
