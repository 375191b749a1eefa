"""Whatever is sent: no error of ours, no trace of code, no hang; and slow clients hold nobody up."""

import gzip
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import NamedTuple
from urllib.parse import quote_from_bytes, urlsplit

import pytest
import zstandard

from tests.integration.served import COURSE, OTHER, School, attempt, eventually, logs

TRACES = (b"Traceback", b'File "', b".py", b"worker.api", b"litestar", b"psycopg", b"Exception")
SLOW = 14.0
"""A header or a body has ten seconds; what is not cut off by then holds on for good."""


class Reply(NamedTuple):
    """An answer as bytes; status 0 where the connection was closed without one."""

    status: int
    body: bytes


class Wire:
    """A connection that is kept alive and sends whatever it is given."""

    def __init__(self, school: School) -> None:
        netloc = urlsplit(school.api.url)
        self._address = (netloc.hostname or "", netloc.port or 0)
        self._socket: socket.socket | None = None
        self._rest = b""

    def send(self, request: bytes) -> Reply:
        """One request and its answer; a connection that was closed before is opened again."""
        for fresh in (self._socket is None, True):
            connection = self._open() if fresh else self._socket
            assert connection is not None
            with suppress(ConnectionError):
                connection.sendall(request)
                return self._read(connection)
            self.close()
        return Reply(0, b"")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        self.close()
        self._rest = b""
        self._socket = socket.create_connection(self._address, timeout=SLOW)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _read(self, connection: socket.socket) -> Reply:
        while b"\r\n\r\n" not in self._rest:
            piece = connection.recv(65_536)
            if not piece:
                self.close()
                return Reply(0, b"")
            self._rest += piece
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        size = 0 if length is None or status in (204, 304) else int(length[1])
        while len(self._rest) < size:
            piece = connection.recv(65_536)
            assert piece, "an answer was cut off"
            self._rest += piece
        body, self._rest = self._rest[:size], self._rest[size:]
        if re.search(rb"\r\nconnection: *close", head, re.IGNORECASE):
            self.close()
        return Reply(status, body)


Requests = Callable[[School, random.Random], Iterator[bytes]]


def message(method: str, target: str, headers: Sequence[tuple[str, bytes]], body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: x"]
    lines += [name.encode() + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled or cut off."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            data[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            del data[at : at + chance.randint(1, 20)]
        elif kind == 2:
            data[at:at] = data[at : at + chance.randint(1, 40)]
        elif kind == 3:
            data[at:at] = chance.choice(_ODD)
        else:
            del data[at:]
    return bytes(data)


_ODD = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"null",
    b"1e999",
    b"-1",
    b"9" * 40,
    b"[" * 300,
    b'{"',
    b"NaN",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"9999-12-31T23:59:59+14:00",
    b"%00",
    "\u2028\U0001f600".encode(),
]
_KINDS = [
    b"application/json",
    b"application/x-ndjson",
    b"text/plain",
    b"",
    b"application/json; charset=utf-16",
    b"multipart/form-data",
    b"a/b+json",
    b"\xff",
]
_NAMES = [
    "Accept",
    "If-None-Match",
    "X-Purpose",
    "Authorization",
    "X-Gateway-Secret",
    "Accept-Encoding",
    "X-Gateway-Caller-Arn",
    "Content-Type",
    "Transfer-Encoding",
    "Range",
    "Cookie",
    "X-Request-Id",
]
_ENCODINGS: list[bytes | None] = [None, None, b"gzip", b"zstd", b"identity", b"br", b"gzip, zstd"]


def bodies(school: School, chance: random.Random) -> Iterator[bytes]:
    """POST /students with what is nearly an event, a list, lines, or nothing of the kind."""
    bearer = f"Bearer {school.tokens['producer']}".encode()
    one = json.dumps({**attempt("s-1", "q1"), "course_id": OTHER}).encode()
    whole = [one, b"[" + one + b"," + one + b"]", one + b"\n" + one, b"[]", b"0", b""]
    for _ in range(4_500):
        body = mutated(chance.choice(whole), chance)
        encoding = chance.choice(_ENCODINGS)
        packed = gzip.compress(body, 1) if encoding == b"gzip" else body
        packed = zstandard.compress(body) if encoding == b"zstd" else packed
        if chance.random() < 0.3:
            packed = mutated(packed, chance)
        headers = [("Authorization", bearer), ("Content-Type", chance.choice(_KINDS[:2] * 4 + _KINDS))]
        headers += [("Content-Encoding", encoding)] if encoding else []
        yield message("POST", "/students", [*headers, ("Content-Length", str(len(packed)).encode())], packed)


_PARAMETERS = {
    "student_id": [b"s-1", b"me", b""],
    "course_id": [COURSE.encode(), b"history", b""],
    "as_of": [b"2026-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00+14:00", b"5", b"1e300"],
    "from": [b"2026-01-01", b"0001-01-01", b"9999-12-31", b"2026-02-30"],
    "to": [b"2026-01-01", b"0001-01-01", b"9999-12-31", b"-1"],
    "sort": [b"ewma", b"at_risk", b"student_id", b"EWMA"],
    "order": [b"asc", b"desc", b"up"],
    "limit": [b"1", b"500", b"0", b"501", b"-1", b"9" * 30, b"1.5"],
    "cursor": [b"kgE", b"ktn_", b"gqFhAQ", b"!", b"k6cyMDI2LTAxLTAx", b"\xff", b"ks9__________w"],
    "unknown": [b"x"],
}


def queries(school: School, chance: random.Random) -> Iterator[bytes]:
    """Reads by everybody with parameters that are wrong, doubled, or hold what no text may hold."""
    people = ["teacher", "official", "analyst", "operator", "s-1", "nobody"]
    for _ in range(4_500):
        path = chance.choice(["/metrics", "/metrics", "/attempts", "/disclosures", "/session"])
        names = chance.sample(list(_PARAMETERS), chance.randint(0, 4))
        if chance.random() < 0.7:
            names += ["course_id"] * (path != "/disclosures") + ["student_id"] * (path != "/metrics")
        pairs = []
        for name in names if chance.random() < 0.1 else dict.fromkeys(names):
            value = chance.choice(_PARAMETERS[name])
            value = mutated(value, chance) if chance.random() < 0.4 else value
            pairs.append(f"{name}={quote_from_bytes(value, safe='')}")
        headers = [("Authorization", f"Bearer {school.tokens[chance.choice(people)]}".encode())]
        if chance.random() < 0.6:
            headers.append(
                ("X-Purpose", chance.choice([b"a complaint", b"\xe9" * 9, b"short", b"\xc3\xa9" * 8]))
            )
        yield message("GET", f"{path}?{'&'.join(pairs)}", headers)


def _printable(raw: bytes) -> bytes:
    return re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"?", raw)


def headers(school: School, chance: random.Random) -> Iterator[bytes]:
    """Headers that are huge, doubled, of other alphabets, or nearly a token."""
    token = school.tokens["teacher"].encode()
    for n in range(1_500):
        bearer = b"Bearer " + (_printable(mutated(token, chance)) if n % 3 == 0 else token)
        sent = [("Authorization", bearer)]
        odd = _printable(chance.choice([b"*", b"," * 3_000, b'W/"x"', chance.randbytes(40), b"text/csv;q=0"]))
        name = chance.choice(_NAMES)
        sent += [(name, odd)] * chance.randint(1, 2)
        targets = [f"/metrics?course_id={COURSE}", "/session", "/", "/schema", "/readyz", "/nowhere"]
        yield message(chance.choice(["GET", "GET", "DELETE", "OPTIONS", "PUT"]), chance.choice(targets), sent)


@pytest.mark.parametrize("requests", [bodies, queries, headers])
def test_nothing_malformed_makes_an_error_of_ours(school: School, requests: Requests) -> None:
    counted: dict[int, int] = {}
    with closing(Wire(school)) as wire:
        for request in requests(school, random.Random(20_260_302)):
            reply = wire.send(request)
            counted[reply.status] = counted.get(reply.status, 0) + 1
            assert reply.status < 500, (request, reply)
            if reply.status >= 400 and reply.body:
                assert not [trace for trace in TRACES if trace in reply.body], (request, reply)
                assert json.loads(reply.body)["status"] == reply.status
    assert len(counted) >= 4, counted
    assert b"unexpected error" not in logs(school.session.directory / "log")


def test_what_is_no_http_is_closed_and_nothing_else(school: School) -> None:
    chance = random.Random(7)
    good = message("GET", "/session", [("Authorization", f"Bearer {school.tokens['teacher']}".encode())])
    for _ in range(400):
        status = alone(school, mutated(chance.choice([good, good[:40]]), chance))
        assert status < 500
    doubled = [("Content-Length", b"1"), ("Content-Length", b"2")]
    assert alone(school, message("POST", "/students", doubled, b"xx")) in (0, 400)
    assert alone(school, message("GET", "/session", [("X", b"x" * 2_000_000)])) in (0, 400, 431)
    with closing(Wire(school)) as wire:
        assert wire.send(good).status == 200


def alone(school: School, raw: bytes) -> int:
    """The status that bytes get on a connection of their own that says no more."""
    netloc = urlsplit(school.api.url)
    address = (netloc.hostname or "", netloc.port or 0)
    with socket.create_connection(address, timeout=SLOW) as connection, suppress(OSError):
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
        assert not [trace for trace in TRACES if trace in answer]
        return int(answer.split(b" ", 2)[1]) if answer else 0
    return 0


def test_a_purpose_is_said_once_in_any_alphabet(school: School) -> None:
    bearer = ("Authorization", f"Bearer {school.tokens['official']}".encode())
    target = f"/metrics?student_id=s-2&course_id={COURSE}"
    said = "réclamation d'une élève".encode()
    with closing(Wire(school)) as wire:
        assert wire.send(message("GET", target, [bearer, ("X-Purpose", said)])).status == 200
        for wrong in ([said, said], ["é".encode() * 7], [b"        x      "], [b"a\tb\tc\td\te\tf"]):
            purposes = [("X-Purpose", one) for one in wrong]
            assert wire.send(message("GET", target, [bearer, *purposes])).status == 400
        assert wire.send(message("GET", target, [bearer])).status == 403
    newest = school.get("s-2", "/disclosures", student_id="me", limit=1).json["disclosures"][0]
    assert newest["purpose"] == "réclamation d'une élève"


def test_an_endless_body_is_refused_before_it_ends(school: School) -> None:
    bearer = ("Authorization", f"Bearer {school.tokens['producer']}".encode())
    kind = ("Content-Type", b"application/json")
    wire = Wire(school)
    told = message("POST", "/students", [bearer, kind, ("Content-Length", b"9999999999")])
    assert wire.send(told + b"x" * 1_000).status == 413
    wire.close()
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    chunked = message("POST", "/students", [bearer, kind, ("Transfer-Encoding", b"chunked")])
    assert wire.send(chunked + chunk * 18).status in (0, 413)
    wire.close()
    bomb = gzip.compress(bytes(200_000_000), 9)
    packed = [bearer, kind, ("Content-Encoding", b"gzip"), ("Content-Length", str(len(bomb)).encode())]
    assert wire.send(message("POST", "/students", packed, bomb)).status == 413
    wire.close()
    assert wire.send(message("POST", "/students", [bearer, kind])).status == 411
    wire.close()


def test_slow_clients_are_cut_off_and_hold_nobody_up(school: School) -> None:
    netloc = urlsplit(school.api.url)
    address = (netloc.hostname or "", netloc.port or 0)
    bearer = f"Bearer {school.tokens['producer']}".encode()
    head = b"GET /session HTTP/1.1\r\nHost: x\r\nX-Slow: "
    body = message("POST", "/students", [("Authorization", bearer), ("Content-Length", b"1000")])
    slow = [(socket.create_connection(address, timeout=SLOW), start) for start in [head, body] * 40]
    ended: dict[int, bytes] = {}
    done = threading.Event()

    def dribble() -> None:
        for connection, start in slow:
            connection.sendall(start)
            connection.setblocking(False)
        while len(ended) < len(slow) and not done.is_set():
            for n, (connection, _) in enumerate(slow):
                if n not in ended:
                    _drip(n, connection)
            done.wait(0.25)

    def _drip(n: int, connection: socket.socket) -> None:
        try:
            connection.sendall(b"x")
            ended[n] = connection.recv(4_096)
        except BlockingIOError:
            pass
        except ConnectionError:
            ended[n] = b""

    started = time.monotonic()
    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        served = 0
        while len(ended) < len(slow):
            before = time.monotonic()
            assert school.get("s-1", "/metrics", student_id="me", course_id=COURSE).status == 200
            assert time.monotonic() - before < 2
            assert time.monotonic() - started < SLOW, f"{len(slow) - len(ended)} still hold on"
            served += 1
        assert served > 20
        refusals = [ended[n] for n in range(1, len(slow), 2) if ended[n]]
        assert refusals
        assert all(answer.startswith(b"HTTP/1.1 408") for answer in refusals)
    finally:
        done.set()
        thread.join()
        for connection, _ in slow:
            connection.close()


def test_a_client_that_leaves_is_no_error_of_ours(school: School) -> None:
    netloc = urlsplit(school.api.url)
    bearer = f"Bearer {school.tokens['producer']}".encode()
    for _ in range(20):
        with socket.create_connection((netloc.hostname or "", netloc.port or 0)) as connection:
            connection.sendall(
                message("POST", "/students", [("Authorization", bearer), ("Content-Length", b"1000")], b"{")
            )
    eventually(lambda: school.call("GET", "/readyz", {}).status == 200)
    assert b"unexpected error" not in logs(school.session.directory / "log")
