"""Large files on the wire: what the batch offers, whole uploads, uploads in parts, and what is there afterwards."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from hub_process import OTHER_TOKEN, OWNER_TOKEN, STRANGER_TOKEN, Wire

from paris.coordinator.hub import HubLimits, HubServer, add_user

PART = 1000
IN_PARTS_FROM = 3000
DATA = bytes(range(250)) * 13  # 3250 bytes: three parts and a rest
OID = hashlib.sha256(DATA).hexdigest()
BATCH = "/lab/run.git/info/lfs/objects/batch"
VERIFY = "/lab/run.git/info/lfs/verify"


@pytest.fixture
def hub(tmp_path):
    limits = HubLimits(
        multipart_from_bytes=IN_PARTS_FROM, part_bytes=PART, max_object_bytes=9000, max_user_bytes=5000,
        upload_url_life_s=600,
    )  # fmt: skip
    with HubServer(tmp_path / "hub", open_registration=True, limits=limits) as hub:
        add_user(tmp_path / "hub", "lab", OWNER_TOKEN)
        yield hub


@pytest.fixture
def wire(hub):
    wire = Wire(hub.port)
    wire.create_repo("run")
    return wire


def asked(wire: Wire, *objects: bytes, token: str = OWNER_TOKEN) -> dict:
    named = [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)} for data in objects]
    answer = wire.ask("POST", BATCH, {"operation": "upload", "objects": named}, token=token)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/vnd.git-lfs+json"
    return answer.json()


def local(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def facts_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def test_a_small_object_is_offered_in_one_piece_and_a_large_one_in_parts(wire, hub):
    small, large = b"s" * (IN_PARTS_FROM - 1), b"l" * IN_PARTS_FROM
    before = int(time.time())
    one = asked(wire, small)
    assert one["transfer"] == "basic"
    upload = one["objects"][0]["actions"]["upload"]
    assert "header" not in upload
    assert upload["href"].startswith(f"http://127.0.0.1:{hub.port}/lfs/objects/{hashlib.sha256(small).hexdigest()}?")
    facts = facts_of(upload["href"])
    assert (facts["part"], facts["part_bytes"], facts["limited"], facts["user"]) == ("0", "0", "False", "lab")
    assert facts["repo"] == "models/lab/run"
    assert before + 600 <= int(facts["expires"]) <= time.time() + 600
    assert one["objects"][0]["actions"]["verify"]["href"] == f"http://127.0.0.1:{hub.port}{VERIFY}"
    two = asked(wire, small, large)
    assert two["transfer"] == "multipart"
    header = two["objects"][1]["actions"]["upload"]["header"]
    assert header.pop("chunk_size") == str(PART)
    assert [(number, facts_of(address)["part"]) for number, address in header.items()] == [
        ("1", "1"),
        ("2", "2"),
        ("3", "3"),
    ]


def test_an_object_of_very_many_parts_gets_larger_ones(tmp_path):
    limits = HubLimits(multipart_from_bytes=10, part_bytes=1)
    with HubServer(tmp_path / "hub", limits=limits) as hub:
        add_user(tmp_path / "hub", "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        header = asked(wire, b"x" * 20_001)["objects"][0]["actions"]["upload"]["header"]
        assert header["chunk_size"] == "3"
        assert len(header) - 1 == 6667


def test_what_is_refused_in_a_batch_says_why_and_the_others_are_offered(wire):
    answers = asked(wire, b"x" * 9001, b"y" * 9000)["objects"]
    assert answers[0]["error"] == {
        "code": 413,
        "message": "The file exceeds this Hub's size limit: 9001 bytes, limit 9000.",
    }
    assert answers[0]["size"] == 9001
    assert "actions" not in answers[0]
    assert "actions" in answers[1]


def test_the_objects_of_one_batch_count_together_against_a_volunteers_bound(wire):
    answers = asked(wire, b"x" * 2500, b"y" * 2500, b"z", token=STRANGER_TOKEN)["objects"]
    assert ["error" in answer for answer in answers] == [False, False, True]
    assert facts_of(answers[0]["actions"]["upload"]["href"])["limited"] == "True"


def test_nothing_is_offered_when_the_disk_is_nearly_full(tmp_path, monkeypatch):
    with HubServer(tmp_path / "hub", limits=HubLimits(min_free_bytes=1000)) as hub:
        add_user(tmp_path / "hub", "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Disk", (), {"free": 1010}))
        answers = asked(wire, b"x" * 6, b"y" * 4, b"z")["objects"]
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, 507]
        address = local(answers[0]["actions"]["upload"]["href"])
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Disk", (), {"free": 1005}))
        assert wire.ask("PUT", address, b"x" * 6).status == 507
        reserved = hub.app.hub.reservations
        assert reserved.total() == 0


def test_a_whole_upload_is_answered_with_its_digest_and_is_present_from_then_on(wire):
    data = b"whole"
    address = local(asked(wire, data)["objects"][0]["actions"]["upload"]["href"])
    item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert wire.ask("POST", VERIFY, item, token=OWNER_TOKEN).status == 404
    answer = wire.ask("PUT", address, data)
    assert (answer.status, answer.headers["etag"]) == (200, f'"{item["oid"]}"')
    assert wire.ask("POST", VERIFY, item, token=OWNER_TOKEN).status == 200
    assert wire.ask("POST", VERIFY, {**item, "size": 6}, token=OWNER_TOKEN).status == 404
    assert wire.ask("POST", VERIFY, item, token=STRANGER_TOKEN).status == 404, "others do not learn what is there"
    assert wire.ask("POST", VERIFY, item).status == 401
    assert asked(wire, data)["objects"] == [item]
    assert "actions" in asked(wire, data, token=STRANGER_TOKEN)["objects"][0]
    assert asked(wire, data + b"2")["objects"][0]["size"] == 6


def completion(address: str, *numbers: int, oid: str = OID) -> tuple[str, str, dict]:
    return "POST", local(address), {"oid": oid, "parts": [{"partNumber": number, "etag": "x"} for number in numbers]}


def test_parts_are_taken_in_any_order_and_joined_when_all_are_there(wire):
    upload = asked(wire, DATA, token=STRANGER_TOKEN)["objects"][0]["actions"]["upload"]
    header = upload["header"]
    assert wire.ask("PUT", local(upload["href"]), DATA).status == 400
    for number in (4, 1, 3, 2):
        piece = DATA[(number - 1) * PART : number * PART]
        short = wire.ask("PUT", local(header[str(number)]), piece[:-1])
        assert (short.status, f"Part {number} has" in short.body.decode()) == (400, True)
        assert wire.ask("PUT", local(header[str(number)]), piece + b"x").status == 413
        answer = wire.ask("PUT", local(header[str(number)]), piece)
        assert (answer.status, answer.headers["etag"]) == (200, f'"{number}-{len(piece)}"')
    for numbers in ((1, 2, 3), (1, 2, 3, 4, 5), (2, 1, 3, 4), (1, 2, 2, 4)):
        assert wire.ask(*completion(upload["href"], *numbers)).status == 400
    assert wire.ask(*completion(upload["href"], 1, 2, 3, 4, oid="0" * 64)).status == 400
    assert wire.ask(*completion(header["1"], 1, 2, 3, 4)).status == 400
    done = wire.ask(*completion(upload["href"], 1, 2, 3, 4))
    assert (done.status, done.json()) == (200, {"oid": OID})
    assert done.headers["content-type"] == "application/vnd.git-lfs+json"
    assert wire.ask("POST", VERIFY, {"oid": OID, "size": len(DATA)}, token=STRANGER_TOKEN).status == 200


def test_an_upload_in_one_piece_has_no_parts_to_complete(wire):
    data = b"whole"
    upload = asked(wire, data)["objects"][0]["actions"]["upload"]
    answer = wire.ask(*completion(upload["href"], 1, oid=hashlib.sha256(data).hexdigest()))
    assert answer.status == 400


def test_a_second_upload_in_parts_waits_until_there_is_room(wire):
    other = DATA[::-1]
    first, second = (
        asked(wire, data, token=OTHER_TOKEN)["objects"][0]["actions"]["upload"]["header"] for data in (DATA, other)
    )
    assert wire.ask("PUT", local(first["1"]), DATA[:PART]).status == 200
    assert wire.ask("PUT", local(second["1"]), other[:PART]).status == 413
    assert wire.ask("PUT", local(first["2"]), DATA[PART : 2 * PART]).status == 200


def test_uploads_are_counted_for_their_user_and_the_repository_as_objects(wire, hub):
    wire.send_object("lab/run", b"12345", token=STRANGER_TOKEN)
    entries = hub.app.hub.traffic.report()["entries"]
    (entry,) = [one for one in entries if one["part"] == "(objects)"]
    assert (entry["repo"], entry["uploaded_bytes"]) == ("models/lab/run", 5)
    assert entry["user"].startswith("user-")


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(wire):
    address = wire.upload_address("lab/run", b"x" * 10, token=OWNER_TOKEN)
    answer = wire.ask("PUT", address, headers={"Content-Length": "11"})
    assert (answer.status, answer.headers["connection"]) == (413, "close")
