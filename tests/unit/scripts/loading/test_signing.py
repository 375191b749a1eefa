"""Posts that are signed: whoever checks them computes the same signature from what came over the wire."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from scripts.frame.script import WrongArguments
from scripts.loading.plan import Crowd, Plan
from scripts.loading.profiles import Schedule
from scripts.loading.signing import bearer, sigv4
from scripts.loading.ways import by_http
from tests.conftest import IDENTITY

KEYS = Credentials("AKIDEXAMPLE", "a secret", "a session")


class Came(NamedTuple):
    """A request as a server sees it."""

    url: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def server() -> Iterator[tuple[str, list[Came]]]:
    came: list[Came] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            url = f"http://{self.headers['Host']}{self.path}"
            came.append(Came(url, {name.lower(): value for name, value in self.headers.items()}, body))
            answer = b'{"accepted": %d}' % body.count(b'"item_id"')
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/prod", came
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def signature(came: Came, region: str) -> str:
    """What the gateway computes: from the headers that were signed, the body, and its own copy of the key."""
    told = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/(.+)/execute-api/aws4_request, "
        r"SignedHeaders=(.+), Signature=(.+)",
        came.headers["authorization"],
    )
    assert told is not None
    assert told[1] == region
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(told[2].split(";"))
    signed = {name: came.headers[name] for name in told[2].split(";")}
    request = AWSRequest("POST", came.url, data=came.body, headers=signed)
    request.context["timestamp"] = came.headers["x-amz-date"]
    auth = SigV4Auth(KEYS.get_frozen_credentials(), "execute-api", region)
    again = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert again == told[3]
    return told[3]


def few() -> Plan:
    crowd = Crowd(students=9, courses=2, each=1)
    plan = Plan("r", Schedule("steady", 10, 1), crowd, seed=1, identity=IDENTITY, realm="default")
    plan.begin(1_780_000_000_000_000)
    return plan


def test_a_signed_post_is_what_the_gateway_can_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda _: KEYS)
    with server() as (url, came):
        way = by_http(few(), url, sigv4("eu-west-1"), batch=5, connections=1)
        way.put(0, 5)
        way.put(5, 10)
    assert [one.url for one in came] == [f"{url}/students"] * 2
    first, second = (signature(one, "eu-west-1") for one in came)
    assert first != second
    assert all(one.headers["x-amz-security-token"] == "a session" for one in came)
    assert all(one.headers["content-type"] == "application/json" for one in came)


def test_a_token_is_a_bearers() -> None:
    with server() as (url, came):
        by_http(few(), url, bearer("t"), batch=5, connections=1).put(0, 5)
    assert came[0].headers["authorization"] == "Bearer t"


def test_without_credentials_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda _: None)
    with pytest.raises(WrongArguments, match="--sigv4 needs AWS credentials"):
        sigv4("eu-west-1")
