"""Whom a request comes from: a bearer token of the identity provider, or the gateway's word for a producer.

Tokens are RS256 alone, whatever their header says, and only under keys that the issuer publishes: an `alg`
of `none`, or a public key used as a shared secret, finds no key here. Behind the gateway a producer signs
with SigV4; the gateway checks that and passes the caller's ARN on in a header. Anybody else could send such
a header too, so it counts only beside a secret that the gateway alone adds.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jwt
import msgspec
from jwt import PyJWK, PyJWKSet

from worker.api.access import Caller, Role
from worker.api.problems import Away, Forbidden, Unauthorized
from worker.logs import redact

_log = logging.getLogger(__name__)
CALLER_HEADER = "x-gateway-caller-arn"
SECRET_HEADER = "x-gateway-secret"  # noqa: S105 - its name
_ALGORITHM = "RS256"
_REFETCH_SECONDS = 30.0
_RETRY_SECONDS = 2.0
_KEYS_LIVE_SECONDS = 3600.0
_REMEMBER_SECONDS = 60.0
_REMEMBERED = 20_000
_LEEWAY_SECONDS = 30
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999: no later moment can be written as a date."""
_LONGEST_CLAIM = 256


class ClaimNames(NamedTuple):
    """Where the identity provider puts what we need."""

    roles: str = "roles"
    realm: str = "realm"
    student_id: str = "student_id"
    courses: str = "courses"
    sources: str = "sources"


class Producer(msgspec.Struct, frozen=True):
    """What one producer identity is bound to."""

    realm: str
    sources: list[str] | None = None


class TokenPolicy(NamedTuple):
    """What makes a token good.

    Args:
        issuer: the `iss` it must carry.
        clients: the clients or audiences it may be meant for.
        names: where its claims stand.
        realm: the realm of callers whose token names none.
    """

    issuer: str
    clients: frozenset[str]
    names: ClaimNames
    realm: str


class Keys:
    """The issuer's public keys, fetched again when they are old or a token names one that is not known.

    Args:
        fetch: gives the JWKS document; may block and may raise anything.
        clock: monotonic seconds.
    """

    def __init__(
        self, fetch: Callable[[], Mapping[str, Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def known(self, kid: str) -> PyJWK | None:
        """The key, if it can be given without waiting and is not old."""
        if self._fetched is None or self._clock() - self._fetched > _KEYS_LIVE_SECONDS:
            return None
        return self._keys.get(kid)

    def find(self, kid: str) -> PyJWK | None:
        """The key, fetched if need be; unknown ids cause one fetch in 30 seconds, whoever sends them.

        While there is no key at all, a fetch is tried every 2 seconds: a provider that hangs must not hold
        every request for as long as a fetch may take.

        Raises:
            Away: no keys are there and none could be fetched.
        """
        with self._lock:
            patience = _REFETCH_SECONDS if self._keys else _RETRY_SECONDS
            due = self._tried is None or self._clock() - self._tried > patience
            if self.known(kid) is None and due:
                self._refresh()
            if not self._keys:
                raise Away(
                    "the identity provider's keys cannot be fetched; try again after Retry-After seconds"
                )
            return self._keys.get(kid)

    def _refresh(self) -> None:
        try:
            found = PyJWKSet.from_dict(dict(self._fetch()))
            self._keys = {key.key_id: key for key in found.keys if key.key_id and _signs(key)}
        except Exception as error:  # a key server may fail in any way; old keys still hold
            _log.warning("token keys not fetched", extra={"error": redact(error)})
        self._fetched = self._tried = self._clock()


class Doorkeeper:
    """Checks who somebody is.

    Args:
        policy: what makes a token good.
        keys: the issuer's keys.
        producers: producer identities by ARN, for callers that the gateway vouches for.
        gateway_secret: gives what the gateway adds to each request; None where there is no gateway.
        enrolled: gives a teacher's courses where the token does not; None to believe the token.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        policy: TokenPolicy,
        keys: Keys,
        *,
        producers: Mapping[str, Producer],
        gateway_secret: str | None,
        enrolled: Callable[[str], Sequence[str]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._keys = keys
        self._producers = producers
        self._gateway_secret = gateway_secret
        self._enrolled = enrolled
        self._clock = clock
        self._remembered: dict[str, tuple[float, Caller]] = {}

    def remembered(self, token: str) -> Caller | None:
        """Who sent this token a moment ago; None where it must be checked again."""
        held = self._remembered.get(token)
        return held[1] if held is not None and self._clock() < held[0] else None

    def by_token(self, token: str) -> Caller:
        """The caller of a bearer token; may block while keys or enrolments are read.

        Raises:
            Unauthorized: the token does not hold.
            Away: the keys are not to be had.
        """
        claims = self._claims(token)
        caller = self._caller(claims)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        until = min(self._clock() + _REMEMBER_SECONDS, float(claims["exp"]))
        self._remembered[token] = (until, caller)
        return caller

    def by_gateway(self, arns: Sequence[str], secrets: Sequence[str]) -> Caller:
        """The producer that the gateway vouches for.

        Raises:
            Unauthorized: it is not the gateway that says so.
            Forbidden: this identity is bound to nothing.
        """
        vouched = (
            self._gateway_secret is not None
            and len(arns) == len(secrets) == 1
            and hmac.compare_digest(secrets[0].encode(), self._gateway_secret.encode())
        )
        if not vouched:
            raise Unauthorized("send a bearer token, or sign the request and send it to the gateway")
        bound = self._producers.get(_role_of(arns[0]))
        if bound is None:
            raise Forbidden("this identity may not send events; an operator binds it to a realm and sources")
        sources = None if bound.sources is None else frozenset(bound.sources)
        return Caller(_role_of(arns[0]), frozenset({Role.PRODUCER}), bound.realm, sources=sources)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.find(kid) if isinstance(kid, str) else None
            if key is None:
                raise Unauthorized("the token is signed by a key that the issuer does not publish")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._policy.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "sub"], "verify_aud": False},
            )
            if not int(claims["exp"]) <= _LAST_SECOND:
                raise ValueError
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired; sign in again") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("the token does not hold; sign in again") from None
        if not self._meant_for_us(claims):
            raise Unauthorized("the token is meant for another service")
        return claims

    def _meant_for_us(self, claims: Mapping[str, Any]) -> bool:
        """Cognito's access tokens carry no `aud` but a `client_id`; its id tokens the other way round."""
        if claims.get("token_use") == "access":
            meant = [claims.get("client_id")]
        else:
            audience = claims.get("aud")
            meant = audience if isinstance(audience, list) else [audience]
        return any(isinstance(one, str) and one in self._policy.clients for one in meant)

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        names = self._policy.names
        roles = frozenset(Role(name) for name in _texts(claims.get(names.roles)) if name in list(Role))
        subject = _text(claims["sub"])
        if subject is None:
            raise Unauthorized("the token does not hold; sign in again")
        courses: Sequence[str] = _texts(claims.get(names.courses))
        if self._enrolled is not None:
            courses = self._enrolled(subject) if Role.TEACHER in roles else []
        sources = claims.get(names.sources)
        return Caller(
            subject=subject,
            roles=roles,
            realm=self._realm(claims.get(names.realm)),
            student_id=_text(claims.get(names.student_id)),
            courses=frozenset(courses),
            sources=None if sources is None else frozenset(_texts(sources)),
            expires_at=int(claims["exp"]),
        )

    def _realm(self, claim: Any) -> str:
        """A realm that cannot be read is refused: under another one, ids name other students."""
        if claim is None or claim == "":
            return self._policy.realm
        realm = _text(claim)
        if realm is None:
            raise Unauthorized("the token does not hold; sign in again")
        return realm


def _signs(key: PyJWK) -> bool:
    """Whether a published key is one for our signatures: RSA, and not meant for something else."""
    return key.key_type == "RSA" and key.algorithm_name == _ALGORITHM and key.public_key_use in (None, "sig")


def _text(claim: Any) -> str | None:
    """A claim that can be stored and compared: neither empty nor endless, nor with what no text may hold."""
    if not isinstance(claim, str) or not 0 < len(claim) <= _LONGEST_CLAIM:
        return None
    return None if any(c < " " or "\ud800" <= c <= "\udfff" for c in claim) else claim


def _texts(claim: Any) -> list[str]:
    """A claim that is a list of texts, or one text with commas: providers differ."""
    pieces = [piece.strip() for piece in claim.split(",")] if isinstance(claim, str) else claim
    if not isinstance(pieces, list):
        return []
    return [text for text in map(_text, pieces) if text is not None]


def _role_of(arn: str) -> str:
    """The role behind an assumed role's session: sessions come and go, the role is what is bound."""
    prefix, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return arn
    account = prefix.replace(":sts:", ":iam:")
    return f"{account}:role/{rest.split('/')[0]}"
