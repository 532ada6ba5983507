"""Files of sealed records, and whose mailbox a pull request is."""

import json

import pytest
from protocol_samples import LEASE, RUN, RUN_ID, SAMPLES, TASK, sealed

from paris.protocol.canonical import canonical_bytes
from paris.protocol.envelope import open_envelope
from paris.protocol.errors import RecordError, VersionError
from paris.protocol.hub_layout import mailbox_file, mailbox_owner, mailbox_title, swarm_file
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.record_file import MAX_MAILBOX_RECORDS, max_file_bytes, open_record_file, pack_records

KEY = "0123456789abcdef" * 4


def test_every_kind_of_record_comes_out_with_the_bytes_that_were_signed():
    records = tuple(sealed(payload, identity).data for payload, identity in SAMPLES.values())
    data = pack_records(records, 60.0)
    assert data == canonical_bytes(json.loads(data))
    file = open_record_file(data, max_records=len(records))
    assert (file.records, file.every_s) == (records, 60.0)
    assert [open_envelope(record, run_id=RUN_ID, coordinator=None, now=None).kind for record in file.records] == [
        payload.kind for payload, _ in SAMPLES.values()
    ]


def test_a_file_may_be_empty_and_a_mailbox_has_no_period():
    assert pack_records([]) == b'{"records":[],"version":1}'
    file = open_record_file(pack_records([]), max_records=0)
    assert (file.records, file.every_s) == ((), None)


def test_the_largest_records_fit():
    largest = json.dumps({"a": "x" * (MAX_RECORD_BYTES - 8)}, separators=(",", ":")).encode()
    assert len(largest) == MAX_RECORD_BYTES
    data = pack_records([largest] * MAX_MAILBOX_RECORDS, 3600.0)
    assert len(data) <= max_file_bytes(MAX_MAILBOX_RECORDS)
    assert len(open_record_file(data, max_records=MAX_MAILBOX_RECORDS).records) == MAX_MAILBOX_RECORDS


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pack_records([sealed(payload).data for payload in (RUN, TASK, LEASE)]), RecordError),
        (b'{"records":[],"version":1}' + b" " * max_file_bytes(2), RecordError),
        (b'{"records":[],"version":2}', VersionError),
        (b'{"records":[1],"version":1}', RecordError),
        (b'{"records":{},"version":1}', RecordError),
        (b'{"version":1}', RecordError),
        (b'{"every_s":-1.0,"records":[],"version":1}', RecordError),
        (b'{"more":1,"records":[],"version":1}', RecordError),
        (b"[]", RecordError),
        (b"\xff", RecordError),
    ],
)
def test_anything_else_is_refused(data, error):
    with pytest.raises(error):
        open_record_file(data, max_records=2)


def test_a_mailbox_names_its_owner_and_no_other_pull_request_does():
    assert mailbox_owner(mailbox_title(KEY)) == KEY
    others = (KEY, "Mailbox of ", mailbox_title(KEY[1:]), mailbox_title(KEY.upper()), mailbox_title(KEY) + "\n", "")
    assert [mailbox_owner(title) for title in others] == [None] * len(others)
    assert (swarm_file(KEY), mailbox_file(KEY)) == (
        "swarm/0123456789abcdef.json",
        "swarm/inbox/0123456789abcdef.json",
    )
