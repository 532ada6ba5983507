"""What is said of the clusters: words, figures, a page that runs nothing and fetches nothing, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from click.testing import Result
from deadlines import DEADLINE_S
from picture_piles import Pictured, pile, png, write_folder
from typer.testing import CliRunner

from paris.coordinator.cli.app import app
from paris.coordinator.errors import RunDirError
from paris.coordinator.prepare.showing.describing import frequent_words, most_alike
from paris.coordinator.prepare.showing.examples import Example, Examples, cut
from paris.coordinator.prepare.showing.page import cluster_page

HOSTILE = "\"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)></style>'`&lt;\u202e"


class Tags(HTMLParser):
    """All elements of a page, and the text of each kind."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check_page(page: str) -> Tags:
    """Nothing runs, nothing is fetched, every link leads to a card."""
    tags = Tags(page)
    names = {name for name, _ in tags.found}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "svg"}
    attributes = [(name, value or "") for _, given in tags.found for name, value in given.items()]
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert all(value.startswith("data:image/webp;base64,") for name, value in attributes if name == "src")
    cards = [given["id"] for name, given in tags.found if name == "section"]
    assert len(set(cards)) == len(cards)
    assert {value for name, value in attributes if name == "href"} == {f"#{card}" for card in cards}
    return tags


def described(num_clusters: int) -> dict[str, object]:
    card = {"rows": 1200, "heldout_rows": 3, "share": 1 / num_clusters, "bytes": 900, "silhouette": 0.1}
    texts = {"frequent_words": [HOSTILE, "disc"], "examples": [], "farthest": []}
    return {
        "embedder": HOSTILE,
        "silhouette": 0.1,
        "davies_bouldin": 2.0,
        "sizes_before_balancing": [1] * num_clusters,
        "catch_alls_split": [0.42],
        "licences": {HOSTILE: 7, **{f"licence-{n}": 1 for n in range(20)}},
        "dropped": {"too small": 4},
        "clusters": [
            {"cluster": k, "most_alike": (k + 1) % num_clusters, **card, **texts} for k in range(num_clusters)
        ],
    }


def test_a_page_of_strangers_words_runs_and_fetches_nothing() -> None:
    example = Example(HOSTILE, HOSTILE, np.zeros((3, 24, 24), np.uint8))
    page = cluster_page(HOSTILE, described(2), [Examples([example] * 2, [example], [example])] * 2)
    tags = check_page(page)
    assert "default-src 'none'" in page
    assert sum(HOSTILE in text for text in tags.texts) >= 9  # shown as it is, word for word
    assert all(given["alt"] == HOSTILE for name, given in tags.found if name == "img")
    assert "Catch-all clusters that were split: 42% of all rows" in page
    assert "13 others" in page


def test_a_page_of_thirty_two_clusters_stays_small_enough_for_a_browser() -> None:
    rng = np.random.default_rng(0)
    noise = [Example(f"{n}", f"caption {n}", rng.integers(0, 256, (3, 128, 128), np.uint8)) for n in range(8)]
    shown = Examples(noise[:2], noise, noise[:2])
    page = cluster_page("noise", described(32), [shown] * 32)
    check_page(page)
    assert len(page) / (32 * 12) < 24_000  # a picture of noise, which is the worst case; a card has at most 48


def test_words_are_those_that_tell_a_cluster_from_the_others() -> None:
    counts = [
        Counter({"photo": 900, "dog": 60, "with": 200, "grass": 30, "o": 99}),
        Counter({"photo": 900, "car": 50, "with": 20, "road": 40}),
    ]
    first, second = frequent_words(counts)
    assert first[:2] == ["dog", "grass"]
    assert second[:2] == ["car", "road"]
    assert not {"with", "o"} & {*first, *second}
    assert frequent_words([Counter({"cat": 1, "dog": 5, "fox": 5})]) == [["dog", "fox", "cat"]]
    assert frequent_words([Counter(), Counter({"cat": 1})]) == [[], ["cat"]]


def test_a_long_caption_is_cut_for_show() -> None:
    assert cut("a disc") == "a disc"
    assert cut("word " * 20_000) == f"{('word ' * 60)[:297].rstrip()}..."


def test_the_most_alike_cluster_has_the_nearest_centroid() -> None:
    assert most_alike(np.array([[0.0, 0], [10, 0], [11, 0], [0, 4]], np.float32)) == [3, 2, 1, 0]
    assert most_alike(np.zeros((1, 3), np.float32)) == [None]


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clusters")
    write_folder(root / "pile", [*pile(), Pictured("hostile", png("disc", 7), HOSTILE, "Eve", "cc0")])
    command("init", root / "run")
    settings = tomllib.loads((root / "run" / "run.toml").read_text("utf-8"))
    settings["run"]["num_experts"] = settings["router"]["train_after"] = 2
    settings["data"] |= {"source": {"kind": "folder", "path": str(root / "pile")}, "heldout_rows": 1, "view_px": 32}
    (root / "run" / "run.toml").write_text(tomli_w.dumps(settings), "utf-8")
    return root / "run"


def test_clusters_are_shown_when_there_are_some(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="prepare"):
        command("clusters", run)
    command("prepare", run)
    assert f"Clusters: {run / 'data' / 'clusters.html'}" in command("clusters", run).stderr
    told = json.loads(command("clusters", run, "--out", tmp_path / "copy.html", "--json").stdout)
    assert [cluster["cluster"] for cluster in told["clusters"]] == [0, 1]
    assert told["licences"] == {"cc-by-4.0": 4, "cc0-1.0": 5}
    assert told["dropped"] == {}
    page = (tmp_path / "copy.html").read_text("utf-8")
    assert page == (run / "data" / "clusters.html").read_text("utf-8")
    check_page(page)
    browser = tmp_path / "browser.py"
    browser.write_text(f"import sys; open({str(tmp_path / 'opened')!r}, 'w').write(sys.argv[1])")
    environment = {**os.environ, "BROWSER": f"{sys.executable} {browser} %s"}
    opened = [
        sys.executable,
        "-c",
        "from paris.coordinator.cli.app import main; main()",
        "clusters",
        str(run),
        "--open",
    ]
    subprocess.run(opened, env=environment, check=True, timeout=DEADLINE_S)
    assert (tmp_path / "opened").read_text() == (run / "data" / "clusters.html").as_uri()
    (run / "data" / "clusters.html").unlink()
    with pytest.raises(RunDirError, match=r"clusters\.html is missing"):
        command("clusters", run)
