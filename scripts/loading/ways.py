"""The two ways in: the stream, by the product's own producer, and HTTP, as a learning platform posts."""

import threading

import msgspec
import urllib3

from scripts.frame.script import Refused
from scripts.loading.plan import Plan
from scripts.loading.sending import Way
from scripts.loading.signing import Sign
from worker.domain.errors import StreamUnavailable
from worker.ports import Producer

MOST_POSTED = 500
"""What `POST /students` takes in one request."""
_LINGER_SECONDS = 0.05
_POST_SECONDS = 30.0
_TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))


def by_stream(plan: Plan, producer: Producer) -> Way:
    """Envelopes, as a producer with our edge puts them: one call at a time keeps each student's order."""

    def put(first: int, last: int) -> None:
        producer.send(plan.events(first, last))

    return Way("stream", put, lanes=1, most=4_000, linger_seconds=_LINGER_SECONDS)


def by_http(plan: Plan, url: str, sign: Sign, *, batch: int, connections: int) -> Way:
    """Posts of several hundred events, on connections that stay open."""
    pool = urllib3.PoolManager(maxsize=connections, retries=False, timeout=_POST_SECONDS)
    target = f"{url.rstrip('/')}/students"
    encoders = threading.local()

    def put(first: int, last: int) -> None:
        encoder = getattr(encoders, "json", None)
        if encoder is None:
            encoder = encoders.json = msgspec.json.Encoder()
        body = encoder.encode(plan.natives(first, last))
        headers = {"Content-Type": "application/json", **sign("POST", target, body)}
        try:
            answer = pool.request("POST", target, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise StreamUnavailable(f"{target} did not answer ({type(error).__name__})") from None
        if answer.status in _TRY_AGAIN:
            raise StreamUnavailable(f"{target} answered {answer.status}")
        taken = _accepted(answer.data) if answer.status == 202 else None
        if taken != last - first:
            raise Refused(
                f"{target} answered {answer.status} and took {taken or 0} of {last - first} events; "
                "who sends must be a producer of this environment, and of its source `default`"
            )

    return Way("HTTP", put, connections, min(batch, MOST_POSTED), _LINGER_SECONDS)


class _Accepted(msgspec.Struct):
    accepted: int


_decoder = msgspec.json.Decoder(_Accepted)


def _accepted(body: bytes) -> int | None:
    try:
        return _decoder.decode(body).accepted
    except msgspec.DecodeError:
        return None
