import hmac
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import COORDINATOR, STRANGER, VOLUNTEER

from paris.protocol.errors import IdentityError, RecordError, SignatureError
from paris.protocol.runid import key_belongs_to_run, make_run_id, require_run_id
from paris.protocol.signing import Identity, verify_signature


def test_keys_and_signatures_are_those_of_rfc_8032():
    # RFC 8032, section 7.1, test 2
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    identity = Identity(Ed25519PrivateKey.from_private_bytes(secret))
    assert identity.public_key == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert identity.sign(b"\x72") == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.binary(max_size=300), st.integers(0, 299))
def test_a_signature_holds_for_its_message_and_no_other(message, position):
    signature = VOLUNTEER.sign(message)
    verify_signature(VOLUNTEER.public_key, message, signature)
    other = message[:position] + b"!" + message[position:]
    with pytest.raises(SignatureError):
        verify_signature(VOLUNTEER.public_key, other, signature)


def test_a_signature_does_not_hold_for_another_key():
    with pytest.raises(SignatureError, match=STRANGER.public_key[:12]):
        verify_signature(STRANGER.public_key, b"x", VOLUNTEER.sign(b"x"))


@pytest.mark.parametrize("signature", ["", "zz", "00" * 63, "00" * 64])
def test_a_malformed_signature_is_refused(signature):
    with pytest.raises(SignatureError):
        verify_signature(VOLUNTEER.public_key, b"x", signature)


def test_an_identity_file_is_private_and_gives_the_same_key_again(tmp_path):
    path = tmp_path / "home" / "identity.key"
    first = Identity.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Identity.load_or_create(path).public_key == first.public_key
    assert Identity.load(path).public_key == first.public_key


@pytest.mark.parametrize("text", ["", "not hex", "00" * 31])
def test_a_broken_identity_file_is_named_and_left_alone(tmp_path, text):
    path = tmp_path / "identity.key"
    path.write_text(text)
    with pytest.raises(IdentityError, match=r"identity\.key"):
        Identity.load_or_create(path)
    assert path.read_text() == text


def test_a_missing_identity_file_is_named(tmp_path):
    with pytest.raises(IdentityError, match="nowhere"):
        Identity.load(tmp_path / "nowhere.key")


def test_a_run_id_vouches_for_its_key():
    run_id = make_run_id("cabins", COORDINATOR.public_key)
    assert key_belongs_to_run(COORDINATOR.public_key, run_id)
    assert not key_belongs_to_run(STRANGER.public_key, run_id)


@pytest.mark.parametrize("name", ["", "Cabins", "-cabins", "cabins-", "a" * 41, "a/b", "a\n", "ä"])
def test_names_that_would_not_survive_a_path_or_an_address_are_refused(name):
    with pytest.raises(RecordError, match="run id"):
        make_run_id(name, COORDINATOR.public_key)


def test_a_run_id_with_a_newline_behind_it_is_refused():
    with pytest.raises(RecordError):
        require_run_id(make_run_id("cabins", COORDINATOR.public_key) + "\n")


def test_an_identity_made_by_another_process_meanwhile_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "identity.key"
    other = Identity.load_or_create(tmp_path / "other.key")

    def made_meanwhile() -> Identity:
        path.write_bytes((tmp_path / "other.key").read_bytes())
        return VOLUNTEER

    monkeypatch.setattr(Identity, "generate", made_meanwhile)
    assert Identity.load_or_create(path).public_key == other.public_key


def test_an_identity_file_is_64_hex_digits_and_a_newline(tmp_path):
    path = tmp_path / "a" / "b" / "identity.key"
    Identity.load_or_create(path)
    assert len(path.read_bytes()) == 65
    assert path.read_bytes().endswith(b"\n")
    bytes.fromhex(path.read_text("ascii"))
    Identity.load_or_create(path.with_name("second.key"))


def test_a_derived_identity_follows_from_the_key_and_the_purpose(tmp_path):
    # HKDF-SHA256 without salt over the 32 bytes of RFC 8032, section 7.1, test 2: computed with hmac below.
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    info = b"paris-derived-identity-v1\ndevice cuda:1"
    expected = Identity.of_seed(hmac.digest(pseudorandom, info + b"\x01", "sha256"))
    identity = Identity.of_seed(secret)
    assert identity.derived("device cuda:1").public_key == expected.public_key
    assert identity.derived("device cuda:2").public_key not in (expected.public_key, identity.public_key)
    path = tmp_path / "identity.key"
    made = Identity.load_or_create(path, lambda: identity.derived("device cuda:1"))
    assert Identity.load(path).public_key == made.public_key == expected.public_key
    assert Identity.load_or_create(path, Identity.generate).public_key == expected.public_key, (
        "a key that is there stays"
    )
