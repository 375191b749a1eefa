"""Bodies: bounded while they come in and while they grow, and refused in words that fit."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable
from typing import Any, cast

import pytest
import zstandard
from litestar import Request
from litestar.datastructures import Headers
from litestar.exceptions import InternalServerException

from worker.api import bodies
from worker.api.bodies import MOST_BYTES, inflate, read_body
from worker.api.problems import BadRequest, LengthRequired, Problem, TooLarge, TooSlow, Unsupported

PLAIN = b'{"a": 1}' * 10


class Sent:
    """As much of a request as a body needs."""

    def __init__(self, pieces: Iterable[bytes | Exception | None], **headers: str) -> None:
        self.headers = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        self._pieces = pieces
        self.taken = 0

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                await asyncio.Event().wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                self.taken += len(piece)
                yield piece


def read(sent: Sent) -> bytes:
    return asyncio.run(read_body(cast("Request[Any, Any, Any]", sent)))


def refused(kind: type[Problem], *pieces: bytes | Exception | None, **headers: str) -> None:
    with pytest.raises(kind):
        read(Sent(pieces, **headers))


def test_a_body_comes_together() -> None:
    assert read(Sent([PLAIN[:3], b"", PLAIN[3:]], content_length="80")) == PLAIN
    assert read(Sent([PLAIN], transfer_encoding="chunked")) == PLAIN
    for encoding in ("identity", " GZIP "):
        body = gzip.compress(PLAIN) if "G" in encoding else PLAIN
        assert read(Sent([body], content_length="1", content_encoding=encoding)) == PLAIN
    assert inflate(zstandard.compress(PLAIN), "zstd") == PLAIN


def test_a_length_must_be_told() -> None:
    refused(LengthRequired)
    refused(LengthRequired, content_length=" ")


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 30, "9" * 10_000])
def test_what_is_told_to_be_too_large_is_not_read(length: str) -> None:
    sent = Sent([PLAIN], content_length=length)
    with pytest.raises(TooLarge):
        read(sent)
    assert sent.taken == 0


def test_an_endless_body_is_cut_off() -> None:
    def endless() -> Iterable[bytes]:
        while True:
            yield b"x" * 65_536

    sent = Sent(endless(), transfer_encoding="chunked")
    with pytest.raises(TooLarge):
        read(sent)
    assert sent.taken <= MOST_BYTES + 65_536


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x", "gzip;q=1"])
def test_an_encoding_that_is_not_known_is_refused(encoding: str) -> None:
    refused(Unsupported, PLAIN, content_length="80", content_encoding=encoding)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_broken_body_is_refused(encoding: str) -> None:
    whole = gzip.compress(PLAIN) if encoding == "gzip" else zstandard.compress(PLAIN)
    for body in (b"", PLAIN, whole[:-1], whole[:6], whole[:-9] + b"x" * 9, b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        with pytest.raises(BadRequest):
            inflate(body, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_does_not_go_off(encoding: str) -> None:
    for size in (MOST_BYTES + 1, 300 * MOST_BYTES):
        bomb = gzip.compress(bytes(size), 1) if encoding == "gzip" else zstandard.compress(bytes(size))
        with pytest.raises(TooLarge):
            inflate(bomb, encoding)


def test_a_client_that_dribbles_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.01)
    refused(TooSlow, b"x", None, content_length="80")


def test_a_client_that_leaves_is_no_error_of_ours() -> None:
    refused(BadRequest, b"x", InternalServerException("client disconnected"), content_length="80")
