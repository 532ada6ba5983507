"""Sketches as text, and the distances that two of them tell."""

from __future__ import annotations

import math

import pytest
from protocol_samples import AUDIT, AUDIT_LEASE, COORDINATOR, RUN_ID, VOLUNTEER, admitted, sealed
from pydantic import ValidationError

from paris.protocol.admission import Admission
from paris.protocol.audits import PARTS, VALUES, apart, head_of, packed, unpacked
from paris.protocol.keys import subkey_of
from paris.protocol.limits import MAX_RECORD_BYTES, MAX_SUBKEY_CHARS
from paris.protocol.refusals import Reason, Refusal


def sketch(**changed: float) -> dict[str, list[float]]:
    """Ways of length 8, with one sum of some parts changed."""
    return {part: [1.0 + changed.get(part, 0.0), *[1.0] * (VALUES - 1)] for part in PARTS}


def test_a_sketch_comes_back_from_its_text():
    values = {part: [number / 8 + index for index in range(VALUES)] for number, part in enumerate(PARTS)}
    assert {part: list(found) for part, found in unpacked(packed(values)).items()} == values


def test_a_distance_is_relative_to_the_auditors_way_and_the_larger_of_weights_and_ema():
    assert apart(sketch(), sketch()) == (0.0, 0.0)
    assert apart(sketch(weights=0.8), sketch()) == pytest.approx((0.1, 0.0))
    assert apart(sketch(weights=0.8, ema=-1.6), sketch()) == pytest.approx((0.2, 0.0))
    assert apart(sketch(update=0.8), sketch()) == pytest.approx((0.0, 0.1))
    assert apart(sketch(scale=0.3), sketch()) == pytest.approx((0.0, 0.3)), "logarithms are compared as they are"


def test_after_the_last_step_the_ema_alone_is_compared():
    assert apart({"ema": sketch()["ema"]}, sketch(weights=5.0, update=5.0)) == (0.0, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_infinitely_far(value):
    assert apart(sketch(), sketch(weights=value)).weights == math.inf
    assert apart(sketch(), sketch(scale=value)).moments == math.inf
    still = {part: [0.0] * VALUES for part in PARTS}
    assert apart(sketch(), still).weights == math.inf, "the auditor did not move, the claim did"


def test_an_audit_fits_into_a_record_and_its_lease_has_a_place_of_its_own():
    record = admitted(AUDIT, VOLUNTEER, lease=AUDIT_LEASE)
    assert len(sealed(record, VOLUNTEER).data) < MAX_RECORD_BYTES
    assert subkey_of(AUDIT_LEASE, COORDINATOR.public_key) == f"audit.{AUDIT_LEASE.lease_id}"
    assert len(subkey_of(record, VOLUNTEER.public_key)) <= MAX_SUBKEY_CHARS


def test_a_text_of_another_length_is_no_sketch():
    with pytest.raises(ValidationError):
        AUDIT.model_validate({**AUDIT.model_dump(), "sketch": AUDIT.sketch[:-4]})


def test_a_peer_stores_audits_of_leaseholders_only():
    admission = Admission(RUN_ID, COORDINATOR.public_key)
    now = AUDIT_LEASE.granted_at
    admission.require_lease(sealed(admitted(AUDIT, VOLUNTEER, lease=AUDIT_LEASE), VOLUNTEER), now)
    with pytest.raises(Refusal) as refused:
        admission.require_lease(sealed(AUDIT, VOLUNTEER), now)
    assert refused.value.refused.reason is Reason.NO_LEASE


def test_the_start_of_an_audit_is_read_as_a_legs_head():
    start = AUDIT_LEASE.audit.start
    head = head_of(start, 400)
    assert (head.step, head.commit, head.commitment) == (400, start.commit, start.commitment)
    assert [file.path for file in head.files] == [
        f"{start.folder}/{name}.safetensors" for name in ("weights", "ema", "optimizer")
    ]
    assert [file.sha256 for file in head.files] == list(start.sha256)
