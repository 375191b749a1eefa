"""The Vault port's contract, under a local master key and under AWS KMS."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import botocore.exceptions
import pytest

from tests.conftest import NOW
from worker.adapters.memory import MemoryVault
from worker.adapters.vault import CONTEXT, EnvelopeVault, KeyWrapper, KmsMaster, LocalMaster
from worker.domain.errors import LedgerUnavailable
from worker.local.cloud import aws_client
from worker.local.stack import Stack
from worker.ports import Vault

PAYLOAD = b'{"student_id":"ada","score":80}'
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.present = NOW

    def __call__(self) -> datetime:
        return self.present


class Counting:
    """A master key that counts the data keys it gave."""

    def __init__(self, master: KeyWrapper) -> None:
        self.master = master
        self.given = 0
        self.unwrapped = 0

    def generate(self) -> tuple[bytes, bytes]:
        self.given += 1
        return self.master.generate()

    def unwrap(self, wrapped: bytes) -> bytes:
        self.unwrapped += 1
        return self.master.unwrap(wrapped)


@pytest.fixture(params=["local", "kms"])
def make_master(request: pytest.FixtureRequest) -> Callable[[], Counting]:
    """Master keys, each another."""
    if request.param == "local":
        numbers = iter(range(256))
        return lambda: Counting(LocalMaster(bytes([next(numbers)]) * 32))
    stack: Stack = request.getfixturevalue("stack")
    client = aws_client("kms", stack.endpoints.aws_endpoint_url)
    return lambda: Counting(KmsMaster(client, client.create_key()["KeyMetadata"]["KeyId"]))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def master(make_master: Callable[[], Counting]) -> Counting:
    return make_master()


@pytest.fixture
def vault(master: Counting, clock: Clock) -> EnvelopeVault:
    return EnvelopeVault(master, clock)


@pytest.mark.parametrize("plain", [PAYLOAD, b"", b"\0", bytes(range(256)) * 4096])
def test_what_was_sealed_opens(vault: Vault, plain: bytes) -> None:
    assert vault.open(vault.seal(plain)) == plain


def test_the_twin_keeps_the_same_promise() -> None:
    vault = MemoryVault()
    assert vault.open(vault.seal(PAYLOAD)) == PAYLOAD
    with pytest.raises(ValueError, match="not sealed"):
        vault.open(PAYLOAD)


def test_nothing_of_the_payload_shows(vault: Vault) -> None:
    sealed = vault.seal(PAYLOAD)
    assert not any(PAYLOAD[i : i + 4] in sealed for i in range(len(PAYLOAD) - 3))


def test_the_same_payload_is_sealed_differently_each_time(vault: Vault) -> None:
    assert len({vault.seal(PAYLOAD) for _ in range(50)}) == 50


def test_another_process_opens_it(vault: Vault, master: Counting, clock: Clock) -> None:
    assert EnvelopeVault(master, clock).open(vault.seal(PAYLOAD)) == PAYLOAD


def test_one_data_key_serves_an_hour(vault: Vault, master: Counting, clock: Clock) -> None:
    first = vault.seal(PAYLOAD)
    clock.present += HOUR - timedelta(microseconds=1)
    second = vault.seal(PAYLOAD)
    assert master.given == 1
    assert wrapped_key(first) == wrapped_key(second)
    clock.present += timedelta(microseconds=1)
    third = vault.seal(PAYLOAD)
    assert master.given == 2
    assert wrapped_key(third) != wrapped_key(first)
    assert [vault.open(sealed) for sealed in (first, second, third)] == [PAYLOAD] * 3


def test_a_clock_set_back_does_not_lengthen_a_data_keys_life(
    vault: Vault, master: Counting, clock: Clock
) -> None:
    vault.seal(PAYLOAD)
    clock.present -= timedelta(days=1)
    vault.seal(PAYLOAD)
    vault.seal(PAYLOAD)
    assert master.given == 2


def test_no_data_key_is_made_before_it_is_needed(vault: Vault, master: Counting) -> None:
    assert master.given == 0


def test_every_altered_byte_is_noticed(vault: Vault) -> None:
    sealed = vault.seal(b"x")
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(ValueError, match=r"payload|data key"):
            vault.open(bytes(altered))


def test_every_shortened_payload_is_noticed(vault: Vault) -> None:
    sealed = vault.seal(b"x")
    for length in range(len(sealed)):
        with pytest.raises(ValueError):  # noqa: PT011 - any of several
            vault.open(sealed[:length])
    with pytest.raises(ValueError, match="altered"):
        vault.open(sealed + b"\0")


def test_another_master_key_does_not_open_it(
    vault: Vault, make_master: Callable[[], Counting], clock: Clock
) -> None:
    with pytest.raises(ValueError, match="master key"):
        EnvelopeVault(make_master(), clock).open(vault.seal(PAYLOAD))


def test_kms_opens_a_data_key_in_the_context_of_dead_letters_alone(stack: Stack, clock: Clock) -> None:
    client = aws_client("kms", stack.endpoints.aws_endpoint_url)
    key = client.create_key()["KeyMetadata"]["KeyId"]
    wrapped = wrapped_key(EnvelopeVault(KmsMaster(client, key), clock).seal(PAYLOAD))
    assert (
        len(client.decrypt(CiphertextBlob=wrapped, KeyId=key, EncryptionContext=CONTEXT)["Plaintext"]) == 32
    )
    for context in ({}, {"purpose": "backups"}):
        with pytest.raises(botocore.exceptions.ClientError, match="InvalidCiphertext"):
            client.decrypt(CiphertextBlob=wrapped, KeyId=key, EncryptionContext=context)


class Kms:
    """A KMS client that fails as told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def generate_data_key(self, **_: Any) -> Any:
        raise self.error

    def decrypt(self, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.EndpointConnectionError(endpoint_url="https://kms"),
        botocore.exceptions.ClientError({"Error": {"Code": "ThrottlingException"}}, "any"),
    ],
)
def test_a_key_service_that_is_away_is_an_outage_and_not_bad_data(error: Exception, clock: Clock) -> None:
    vault = EnvelopeVault(KmsMaster(Kms(error), "alias/x"), clock)
    with pytest.raises(LedgerUnavailable, match="KMS"):
        vault.seal(PAYLOAD)
    sealed = EnvelopeVault(LocalMaster(bytes(32)), clock).seal(PAYLOAD)
    with pytest.raises(LedgerUnavailable, match="KMS"):
        vault.open(sealed)


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_what_kms_says_of_a_foreign_data_key(code: str, clock: Clock) -> None:
    error = botocore.exceptions.ClientError({"Error": {"Code": code}}, "Decrypt")
    sealed = EnvelopeVault(LocalMaster(bytes(32)), clock).seal(PAYLOAD)
    with pytest.raises(ValueError, match=code):
        EnvelopeVault(KmsMaster(Kms(error), "alias/x"), clock).open(sealed)


def test_a_data_key_that_could_not_be_had_is_asked_for_again(clock: Clock) -> None:
    error = botocore.exceptions.EndpointConnectionError(endpoint_url="https://kms")
    master = Counting(KmsMaster(Kms(error), "alias/x"))
    vault = EnvelopeVault(master, clock)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            vault.seal(PAYLOAD)
    assert master.given == 2


def wrapped_key(sealed: bytes) -> bytes:
    return sealed[3 : 3 + int.from_bytes(sealed[1:3], "big")]


def test_the_letters_of_an_hour_cost_one_call_to_the_master_key(
    make_master: Callable[[], Counting], clock: Clock
) -> None:
    master = make_master()
    sealing, opening = EnvelopeVault(master, clock), EnvelopeVault(master, clock)
    for payload in [sealing.seal(b"%d" % n) for n in range(20)]:
        opening.open(payload)
    assert master.unwrapped == 1
    clock.present += HOUR
    assert opening.open(sealing.seal(PAYLOAD)) == PAYLOAD
    assert master.unwrapped == 2
