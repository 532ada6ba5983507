import pytest
from protocol_samples import COORDINATOR, GOLDEN, LEG_SAMPLES, NOW, RUN_ID, SAMPLES, SIZE_SAMPLES, golden_bytes, sealed
from write_golden import PAGES, golden_records, samples_in_doc, with_samples

from paris.protocol.envelope import open_envelope
from paris.protocol.errors import VersionError
from paris.protocol.keys import all_keys
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.refusals import Reason

EVERY = SAMPLES | LEG_SAMPLES | SIZE_SAMPLES
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def test_there_is_a_golden_record_of_every_kind():
    assert set(SAMPLES) == set(RECORD_RULES)
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(golden_records())


@pytest.mark.parametrize("name", EVERY)
def test_sealing_again_gives_the_same_bytes(name):
    payload, identity = EVERY[name]
    assert sealed(payload, identity).data == golden_bytes(name)


@pytest.mark.parametrize("name", EVERY)
def test_a_golden_record_opens_to_its_payload(name):
    envelope = open_envelope(golden_bytes(name), run_id=RUN_ID, coordinator=COORDINATOR.public_key, now=NOW + 1)
    assert envelope.payload == EVERY[name][0]
    assert envelope.kind == EVERY[name][0].kind
    assert envelope.data == golden_bytes(name)


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_run_without_legs_has_the_records_that_older_nodes_know(kind):
    payload = SAMPLES[kind][0]
    assert payload.later_fields.isdisjoint(payload.model_dump().keys() - {"lease"})


def test_a_record_of_a_newer_version_says_that_this_side_must_update():
    with pytest.raises(VersionError) as caught:
        open_envelope(golden_bytes("newer-version"), run_id=RUN_ID, coordinator=COORDINATOR.public_key, now=NOW)
    assert caught.value.what == "The record speaks protocol version 2, this software speaks 1."
    assert "Update this side" in caught.value.next_step


def test_a_record_of_an_older_version_says_that_the_other_side_must_update():
    with pytest.raises(VersionError) as caught:
        open_envelope(golden_bytes("older-version"), run_id=RUN_ID, coordinator=COORDINATOR.public_key, now=NOW)
    assert caught.value.what == "The record speaks protocol version 0, this software speaks 1."
    assert "The other side must update" in caught.value.next_step


def test_the_document_shows_every_golden_record_as_it_is():
    assert set(samples_in_doc(TEXT)) == set(golden_records())
    assert with_samples(TEXT) == TEXT


def rows_of_table(text, heading):
    """The first cells of a table in the document, without their back-ticks."""
    lines = text.split(f"| {heading} |", 1)[1].splitlines()[2:]
    return [line.split("|")[1].strip(" `") for line in lines[: lines.index("")]]


def test_the_document_lists_every_kind_with_its_signer_and_size():
    assert rows_of_table(TEXT, "kind | signed by") == list(RECORD_RULES)
    for kind, rule in RECORD_RULES.items():
        assert f"| `{kind}` | {rule.signer} | {rule.max_bytes} " in TEXT


def test_the_document_lists_every_reason_code():
    assert set(rows_of_table(TEXT, "code")) == set(Reason)


def test_the_document_counts_the_keys_of_a_run():
    assert f"Beside those of volunteers a run has these {len(all_keys(RUN_ID))} keys and no others." in TEXT


def test_the_limits_of_each_kind_are_those_of_the_document():
    day_s = 86400
    limits = {kind: (rule.signer, rule.max_bytes, rule.max_life_s) for kind, rule in RECORD_RULES.items()}
    assert limits == {
        "run": ("coordinator", 4096, 7 * day_s),
        "task": ("coordinator", 4096, day_s),
        "summary": ("coordinator", 1024, day_s),
        "manifest": ("coordinator", 4096, 7 * day_s),
        "lease": ("coordinator", 2048, 30 * day_s),
        "challenge": ("coordinator", 2048, 30 * day_s),
        "verdict": ("coordinator", 4096, 30 * day_s),
        "registration": ("coordinator", 2048, 30 * day_s),
        "invite": ("coordinator", 1024, 90 * day_s),
        "want": ("volunteer", 2048, 900),
        "heartbeat": ("volunteer", 4096, 3600),
        "submission": ("volunteer", 4096, 6 * 3600),
        "answer": ("volunteer", 4096, 6 * 3600),
        "audit": ("volunteer", 4096, 6 * 3600),
        "holding": ("volunteer", 2048, 3600),
    }
