"""Who is believed: nobody whose token is not signed, meant for us, in time and readable."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.api_doubles import ARN, CLIENT, ISSUER, POLICY, SECRET, SIGNING, published, token
from worker.api.access import Caller, Role
from worker.api.problems import Away, Forbidden, Unauthorized
from worker.api.tokens import Doorkeeper, Keys, Producer

STRANGER = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


class Issuer:
    """An identity provider: what it publishes, how often it was asked, and whether it answers."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        self.document = published() if document is None else document
        self.fetches = 0
        self.away = False
        self.present = 1_000.0

    def fetch(self) -> Mapping[str, Any]:
        self.fetches += 1
        if self.away:
            raise OSError
        return self.document

    def keys(self) -> Keys:
        return Keys(self.fetch, lambda: self.present)


def door(issuer: Issuer | None = None, clock: Any = time.time, **options: Any) -> Doorkeeper:
    keys = (issuer or Issuer()).keys()
    producers = {ARN: Producer("default", ["lms"])}
    return Doorkeeper(
        POLICY, keys, **{"producers": producers, "gateway_secret": SECRET, **options}, clock=clock
    )


def signed(header: object, claims: object, signature: bytes) -> str:
    parts = [json.dumps(part).encode() for part in (header, claims)] + [signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def test_a_good_token_tells_who_somebody_is() -> None:
    claims: dict[str, Any] = {"student_id": "s-1", "courses": ["algebra", "art"], "sources": "lms, sis"}
    exp = int(time.time()) + 60
    caller = door().by_token(
        token(["student", "teacher", "wizard"], sub="ada", exp=exp, realm="north", **claims)
    )
    assert caller == Caller(
        subject="ada",
        roles=frozenset({Role.STUDENT, Role.TEACHER}),
        realm="north",
        student_id="s-1",
        courses=frozenset({"algebra", "art"}),
        sources=frozenset({"lms", "sis"}),
        expires_at=exp,
    )


def test_without_claims_nobody_is_anything() -> None:
    caller = door().by_token(token())
    assert (caller.roles, caller.courses, caller.student_id) == (frozenset(), frozenset(), None)
    assert (caller.realm, caller.sources) == ("default", None)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 31},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 1e300},
        {"exp": 10**400},
        {"exp": [1]},
        {"exp": 253_402_300_800},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"iss": None},
        {"iss": "https://issuer.example/"},
        {"iss": ["https://issuer.example"]},
        {"aud": None},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": {CLIENT: 1}},
        {"token_use": "access"},
        {"token_use": "access", "client_id": "another"},
        {"token_use": "access", "client_id": [CLIENT]},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\x00b"},
        {"sub": "\ud800"},
        {"sub": "x" * 257},
        {"realm": 7},
        {"realm": "a\x00b"},
        {"realm": "x" * 70_000},
    ],
)
def test_a_token_that_does_not_hold_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        door().by_token(token(["teacher"], **claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["another", CLIENT]},
        {"aud": None, "token_use": "access", "client_id": CLIENT},
        {"realm": ""},
    ],
)
def test_a_token_that_holds_is_taken(claims: dict[str, Any]) -> None:
    assert door().by_token(token(["teacher"], **claims)).roles == {Role.TEACHER}


@pytest.mark.parametrize("seconds", [-20, 60.5])
def test_clocks_may_differ_by_half_a_minute(seconds: float) -> None:
    assert door().by_token(token(exp=time.time() + seconds)).subject == "someone"


def test_claims_of_wrong_types_give_no_right() -> None:
    claims: dict[str, Any] = {"courses": 7, "student_id": ["s-1"], "sources": 7}
    caller = door().by_token(token({"teacher": 1}, **claims))
    assert (caller.roles, caller.courses, caller.student_id) == (frozenset(), frozenset(), None)
    assert caller.sources == frozenset()
    caller = door().by_token(
        token(roles=["teacher", 7, None, ["official"]], courses=["a", 7, "b\x00", "\udfff"])
    )
    assert (caller.roles, caller.courses) == (frozenset({Role.TEACHER}), frozenset({"a"}))


def test_courses_come_from_the_table_where_it_rules() -> None:
    asked: list[str] = []

    def enrolled(subject: str) -> list[str]:
        asked.append(subject)
        return ["algebra"]

    keeper = door(enrolled=enrolled)
    assert keeper.by_token(token(["teacher"], courses=["art"])).courses == {"algebra"}
    assert keeper.by_token(token(["student"], courses=["art"])).courses == frozenset()
    assert asked == ["someone"]


def test_an_unsigned_token_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "x", "exp": int(time.time()) + 60, "roles": ["official"]}
    for alg in ("none", "None", "", None):
        with pytest.raises(Unauthorized):
            door().by_token(signed({"alg": alg, "kid": "k1"}, claims, b""))
    with pytest.raises(Unauthorized):
        door().by_token(signed({"kid": "k1"}, claims, b""))


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_the_public_key_is_no_shared_secret(alg: str) -> None:
    pem = SIGNING.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "x", "exp": int(time.time()) + 60, "roles": ["official"]}
    unsigned = signed({"alg": alg, "kid": "k1"}, claims, b"").rstrip(".")
    mac = hmac.digest(pem, unsigned.encode(), hashlib.sha256)
    with pytest.raises(Unauthorized):
        door().by_token(f"{unsigned}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_same_key_is_refused(algorithm: str) -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "x", "exp": int(time.time()) + 60}
    with pytest.raises(Unauthorized):
        door().by_token(jwt.encode(claims, SIGNING, algorithm=algorithm, headers={"kid": "k1"}))


def test_a_published_key_that_is_not_for_rs256_signatures_counts_for_nothing() -> None:
    shared = {"kty": "oct", "kid": "k1", "k": "c2hhcmVk" * 6, "alg": "HS256"}
    curve = ec.generate_private_key(ec.SECP256R1())
    elliptic = {**jwt.algorithms.ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "k1"}
    for keys in ([shared], [elliptic], published(alg="RS512")["keys"], published(use="enc")["keys"]):
        issuer = Issuer({"keys": [*keys, *published("k2", STRANGER)["keys"]]})
        with pytest.raises(Unauthorized):
            door(issuer).by_token(token(["teacher"]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "e30.e30.",
        "\x00",
        "=" * 50,
        "[" * 8_000,
        "éé.é.é",
        "eyJhbGciOiJSUzI1NiJ9.e30.AA",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        door().by_token(text)


@pytest.mark.parametrize("kid", [None, 7, ["k1"], {"a": 1}])
def test_a_key_id_that_is_no_text_is_refused(kid: object) -> None:
    with pytest.raises(Unauthorized):
        door().by_token(signed({"alg": "RS256", "kid": kid}, {}, b"x"))


def test_a_strangers_signature_is_refused() -> None:
    with pytest.raises(Unauthorized):
        door().by_token(token(["official"], key=STRANGER))


def test_unknown_keys_cause_one_fetch_in_thirty_seconds() -> None:
    issuer = Issuer()
    keeper = door(issuer)
    for n in range(100):
        with pytest.raises(Unauthorized):
            keeper.by_token(token(kid=f"unknown-{n}", key=STRANGER))
    assert issuer.fetches == 1
    issuer.present += 31
    with pytest.raises(Unauthorized):
        keeper.by_token(token(kid="unknown", key=STRANGER))
    assert issuer.fetches == 2


def test_a_rotated_key_is_found_and_the_old_one_forgotten() -> None:
    issuer = Issuer()
    keeper = door(issuer)
    old = token(["teacher"])
    keeper.by_token(old)
    issuer.document = published("k2", STRANGER)
    issuer.present += 31
    assert keeper.by_token(token(["teacher"], kid="k2", key=STRANGER)).roles == {Role.TEACHER}
    with pytest.raises(Unauthorized):
        keeper.by_token(old)


def test_keys_are_fetched_again_after_an_hour_and_hold_while_the_issuer_is_away() -> None:
    issuer = Issuer()
    keeper = door(issuer)
    keeper.by_token(token())
    issuer.present += 3_599
    keeper.by_token(token())
    assert issuer.fetches == 1
    issuer.away = True
    issuer.present += 2
    keeper.by_token(token())
    keeper.by_token(token())
    assert issuer.fetches == 2


def test_without_any_key_the_issuer_is_asked_every_two_seconds_and_the_caller_told_to_wait() -> None:
    issuer = Issuer()
    issuer.away = True
    keeper = door(issuer)
    for _ in range(50):
        with pytest.raises(Away):
            keeper.by_token(token())
    assert issuer.fetches == 1
    issuer.away = False
    issuer.present += 2.1
    keeper.by_token(token())
    assert issuer.fetches == 2


@pytest.mark.parametrize("document", [{}, {"keys": []}, {"keys": 7}, {"keys": [{}]}, [], "keys"])
def test_a_document_without_keys_is_an_issuer_that_is_away(document: Any) -> None:
    issuer = Issuer()
    issuer.document = document
    with pytest.raises(Away):
        door(issuer).by_token(token())


def test_who_was_checked_is_remembered_for_a_minute_and_never_past_the_end() -> None:
    present = time.time()
    keeper = door(clock=lambda: present)
    long, short = token(exp=int(present) + 3_600), token(exp=int(present) + 10, sub="other")
    assert keeper.remembered(long) is None
    for text in (long, short):
        assert keeper.remembered(text) is None
        assert keeper.by_token(text) == keeper.remembered(text)
    present += 11
    assert keeper.remembered(long) is not None
    assert keeper.remembered(short) is None
    present += 50
    assert keeper.remembered(long) is None


def test_the_gateways_word_counts_beside_its_secret_alone() -> None:
    keeper = door()
    caller = keeper.by_gateway([ARN], [SECRET])
    assert caller == Caller(
        ARN, frozenset({Role.PRODUCER}), "default", sources=frozenset({"lms"}), expires_at=None
    )
    session = "arn:aws:sts::123456789012:assumed-role/lms/i-0abc"
    assert keeper.by_gateway([session], [SECRET]).subject == ARN
    for arns, secrets in (
        ([], []),
        ([ARN], []),
        ([], [SECRET]),
        ([ARN], ["wrong"]),
        ([ARN], ["é"]),
        ([ARN, ARN], [SECRET]),
        ([ARN], [SECRET, SECRET]),
    ):
        with pytest.raises(Unauthorized):
            keeper.by_gateway(arns, secrets)


def test_an_identity_that_is_bound_to_nothing_is_refused() -> None:
    for arn in ("arn:aws:iam::123456789012:role/other", "", "arn:aws:sts::1:assumed-role/"):
        with pytest.raises(Forbidden):
            door().by_gateway([arn], [SECRET])


def test_without_a_gateway_nobody_comes_from_it() -> None:
    for secret in (SECRET, "", "None"):
        with pytest.raises(Unauthorized):
            door(gateway_secret=None).by_gateway([ARN], [secret])
