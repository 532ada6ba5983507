"""What pages make of strangers' files without a server: Markdown that strains a parser, headers that lie."""

import json
import os
import struct

import pytest
from page_reader import Page

from paris.coordinator.hub.discussions.diffs import text_changes
from paris.coordinator.hub.pages.cards import MAX_MARKDOWN_CHARS, markdown, markdown_line, metadata_rows
from paris.coordinator.hub.pages.links import Links
from paris.coordinator.hub.pages.tensor_header import MAX_HEADER_BYTES, read_header
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import regular_entry

LINKS = Links("/hub", "lab/x", "refs/pr/1")


def as_page(html: str) -> Page:
    return Page(f"<title></title><main><h1></h1>{html}</main>".encode())


@pytest.mark.parametrize(
    "text",
    ["![" * 20_000, ">" * 20_000, "- " * 20_000, "[a](b" * 9_000, "*a " * 9_000, "`a``" * 9_000, "[x]: <" * 9_000],
    ids=lambda text: text[:6],
)
def test_markdown_made_to_strain_a_parser_is_shown_as_text_or_left_out(text):
    assert as_page(markdown(text, LINKS)).problems() == []


def test_a_huge_card_is_rendered_in_part_and_shown_whole():
    page = as_page(markdown("word\n\n" * (MAX_MARKDOWN_CHARS // 4), LINKS))
    assert page.text.count("word") == MAX_MARKDOWN_CHARS // 4
    assert len(page.all("pre")) == 1


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("a/b.md", "/hub/lab/x/blob/refs%2Fpr%2F1/a/b.md"),
        ("./a%20b.md?x#y", "/hub/lab/x/blob/refs%2Fpr%2F1/a%20b.md"),
        ("/lab/y", "/hub/lab/y"),
        ("#A b!", "#card-a-b"),
        ("HTTPS://e.org/", "HTTPS://e.org/"),
        ("../x", None),
        ("a/%2e%2e/../x", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//e.org/x", None),
        ("http://[", None),
    ],
)
def test_links_lead_into_the_repository_or_to_a_site_or_nowhere(address, target):
    assert LINKS.target(address) == target


def test_links_of_a_text_in_a_folder_begin_there():
    links = Links("", "lab/x", folder="docs/de")
    assert links.target("../b.md") == "/lab/x/blob/main/docs/b.md"
    assert links.picture("a.png") == "/lab/x/resolve/main/docs/de/a.png"
    assert links.target("../../../b.md") is None


def test_only_pictures_of_the_repository_are_loaded():
    assert LINKS.picture("a.PNG") == "/hub/lab/x/resolve/refs%2Fpr%2F1/a.PNG"
    for address in (
        "https://e.org/a.png",
        "//e.org/a.png",
        "/lab/y/a.png",
        "../a.png",
        "a.svg",
        "data:image/png;base64,x",
    ):
        assert LINKS.picture(address) is None


def test_the_first_line_of_a_comment_stays_one_line():
    assert markdown_line("\n**Rejected**: <b>\nsecond", LINKS) == "<strong>Rejected</strong>: &lt;b&gt;"


def test_metadata_is_bounded():
    rows = metadata_rows(
        {
            "tags": ["x"],
            "long": "x" * 9999,
            "list": [1, "b", None],
            "deep": [{"a": [1]}],
            **{f"k{i}": i for i in range(99)},
        }
    )
    shown = dict(rows)
    assert len(rows) == 60
    assert "tags" not in shown
    assert (len(shown["long"]), shown["list"], shown["deep"]) == (403, "1, b, None", '[{"a": [1]}]')


def header(document: object, more: bytes = b"") -> bytes:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<Q", len(raw)) + raw + more


def test_the_header_of_a_file_of_many_gigabytes_is_read_alone(tmp_path):
    size = 6 * 1024**3
    entry = {"dtype": "F32", "shape": [1024, 1024, 1536], "data_offsets": [0, size]}
    path = tmp_path / "big.safetensors"
    path.write_bytes(header({"w": entry, "__metadata__": {"format": "pt"}}))
    os.truncate(path, path.stat().st_size + size)  # without blocks on the disk
    found = read_header(path)
    assert [(tensor.name, tensor.num_bytes) for tensor in found.tensors] == [("w", size)]
    assert found.counts() == [("F32", 1024 * 1024 * 1536)]
    assert found.metadata == {"format": "pt"}


TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x02",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * (MAX_HEADER_BYTES + 9),
        header(b"[" * 100_000),
        header(b"\xff\xfe"),
        header([1]),
        header({"a": 1}),
        header({"__metadata__": [1]}),
        header({"a": {**TENSOR, "shape": [-1]}}, b"1234"),
        header({"a": {**TENSOR, "shape": [True]}}, b"1234"),
        header({"a": {**TENSOR, "shape": [1] * 99}}, b"1234"),
        header({"a": {**TENSOR, "data_offsets": [0, 5]}}, b"1234"),
        header({"a": {**TENSOR, "data_offsets": [4, 0]}}, b"1234"),
        header({"a": {**TENSOR, "data_offsets": "04"}}, b"1234"),
    ],
    ids=range(15),
)
def test_a_header_that_lies_is_refused_with_a_reason(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^it"):
        read_header(path)


def test_what_takes_long_to_compare_is_not_compared(tmp_path):
    blobs = BlobStore(tmp_path)
    sides = [regular_entry(data) for data in (b"a\n" * 2001, b"a\n" * 2000, b"\xff", b"a\nb\n", b"a\nc\n")]
    for data in (b"a\n" * 2001, b"a\n" * 2000, b"\xff", b"a\nb\n", b"a\nc\n"):
        blobs.put(data)
    many, fewer, binary, old, new = sides
    assert text_changes(blobs, many, fewer) is None
    assert text_changes(blobs, binary, old) is None
    assert text_changes(blobs, old, new) == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert text_changes(blobs, None, fewer)[0] == "@@ -0,0 +1,2000 @@"
