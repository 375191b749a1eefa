"""The pseudonym is keyed and unambiguous; the sealed id opens with its key, unchanged, or not at all."""

import hashlib
import hmac
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import IDENTITY
from worker.domain.identity import Identity, Key, Keyring, SealBroken, from_text, text

OLD = Key(bytes(range(32)), bytes(range(64)))
NEW = Key(bytes(range(1, 33)), bytes(range(1, 65)))
IDS = st.text(min_size=1, max_size=40)
SEALED = IDENTITY.identify("student 4711", "north school").sealed_id


def test_the_pseudonym_by_its_definition() -> None:
    message = b"\x00\x00\x00\x06school" + b"\x00\x00\x00\x05Zo\xc3\xab!"
    expected = hmac.new(OLD.pseudonym, message, hashlib.sha256).digest()[:16]
    assert IDENTITY.identify("Zoë!", "school").student_key == uuid.UUID(bytes=expected)


@given(IDS, IDS)
def test_what_was_sealed_opens_to_the_same(student_id: str, realm: str) -> None:
    identified = IDENTITY.identify(student_id, realm)
    assert IDENTITY.open(identified.sealed_id) == (realm, student_id)
    assert IDENTITY.identify(student_id, realm) == identified  # deterministic: a table holds it once


@given(IDS, IDS, IDS, IDS)
def test_only_the_same_student_of_the_same_realm_has_the_same_pseudonym(
    student: str, realm: str, other_student: str, other_realm: str
) -> None:
    same = (student, realm) == (other_student, other_realm)
    one, other = IDENTITY.identify(student, realm), IDENTITY.identify(other_student, other_realm)
    assert (one.student_key == other.student_key) is same
    assert (one.sealed_id == other.sealed_id) is same


def test_realm_and_id_do_not_run_into_each_other() -> None:
    assert IDENTITY.identify("bc", "a").student_key != IDENTITY.identify("c", "ab").student_key


def test_the_sealed_id_does_not_show_the_id() -> None:
    assert b"4711" not in SEALED


@pytest.mark.parametrize("place", range(len(SEALED)))
def test_any_changed_byte_breaks_the_seal(place: int) -> None:
    for change in range(1, 256):
        altered = bytearray(SEALED)
        altered[place] ^= change
        with pytest.raises(SealBroken):
            IDENTITY.open(bytes(altered))


def test_a_cut_or_extended_seal_is_broken() -> None:
    for altered in [*(SEALED[:end] for end in range(len(SEALED))), SEALED + b"\0", b"\0" + SEALED]:
        with pytest.raises(SealBroken):
            IDENTITY.open(altered)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: SEALED[:7] + rest))
def test_no_other_bytes_open_and_nothing_else_is_raised(sealed: bytes) -> None:
    with pytest.raises(SealBroken) as caught:
        IDENTITY.open(sealed)
    assert str(caught.value) == ""


def test_an_older_key_still_opens_and_the_current_one_writes() -> None:
    before = Identity(Keyring("k1", {"k1": OLD}))
    after = Identity(Keyring("k2", {"k1": OLD, "k2": NEW}))
    old, new = before.identify("ada", "r"), after.identify("ada", "r")
    assert after.open(old.sealed_id) == after.open(new.sealed_id) == ("r", "ada")
    assert old.student_key != new.student_key
    with pytest.raises(SealBroken):
        before.open(new.sealed_id)


def test_another_secret_under_the_same_key_id_does_not_open() -> None:
    with pytest.raises(SealBroken):
        Identity(Keyring("k1", {"k1": NEW})).open(SEALED)


@given(st.binary(max_size=70))
def test_a_sealed_id_travels_as_text(sealed: bytes) -> None:
    travelling = text(sealed)
    assert from_text(travelling) == sealed
    assert not set(travelling) & set("+/= \n")


@pytest.mark.parametrize("wrong", ["A", "A A=", "AAAA\n", "é", "A===", "====", "=", "AA=A", "\ud800", "$$$$"])
def test_what_is_not_base64url_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the text is the library's)
        from_text(wrong)


@pytest.mark.parametrize(("pseudonym", "seal"), [(31, 64), (33, 64), (32, 63), (32, 32), (0, 64), (32, 0)])
def test_a_key_of_the_wrong_size_is_refused(pseudonym: int, seal: int) -> None:
    with pytest.raises(ValueError, match="needs 32 bytes of pseudonym and 64 of seal"):
        Key(bytes(pseudonym), bytes(seal))


def test_a_keyring_must_hold_its_current_key() -> None:
    with pytest.raises(ValueError, match="'k2' is not in the keyring"):
        Keyring("k2", {"k1": OLD})


def test_a_key_id_must_fit_its_length_byte() -> None:
    longest = "k" * 255
    identity = Identity(Keyring(longest, {longest: OLD}))
    assert identity.open(identity.identify("ada", "r").sealed_id) == ("r", "ada")
    with pytest.raises(ValueError, match="at most 255 bytes"):
        Keyring("k1", {"k1": OLD, "é" * 128: NEW})


def test_a_keyring_is_read_from_json() -> None:
    keyring = Keyring("k1", {"k1": OLD})
    assert msgspec.json.decode(msgspec.json.encode(keyring), type=Keyring) == keyring


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"current":"k1","keys":{}}',
        b'{"current":"k1","keys":{"k1":{"pseudonym":"AAAA","seal":"AAAA"}}}',
        b'{"current":"k1","keys":{"k1":{"pseudonym":"not base64!","seal":"AAAA"}}}',
        b'{"current":"k1","keys":[]}',
        b'{"current":null,"keys":{}}',
    ],
)
def test_a_wrong_keyring_in_json_is_one_validation_error(document: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(document, type=Keyring)


def test_secrets_are_not_shown() -> None:
    shown = repr(Keyring("k1", {"k1": Key(b"s" * 32, b"t" * 64)}))
    assert "sss" not in shown
    assert "ttt" not in shown
    assert "k1" in shown


def test_a_remembered_student_is_the_same_one() -> None:
    keyring = Keyring("k1", {"k1": Key(bytes(range(32)), bytes(range(64)))})
    plain, remembering = Identity(keyring), Identity(keyring, remembered=2)
    students = ["ada", "ben", "eve", "ada", "ben"]
    assert [remembering.identify(student, "north") for student in students] == [
        plain.identify(student, "north") for student in students
    ]
    assert remembering.identify("ada", "north") != remembering.identify("ada", "south")
    assert remembering.current == "k1"
