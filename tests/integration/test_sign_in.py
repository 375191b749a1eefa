"""Signing in as a browser does it: to a provider of our own, back with a code, on with a token that holds."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.integration.served import School
from worker.local.session import Api


class Provider(ThreadingHTTPServer):
    """An identity provider: one code for each challenge, exchanged once, for who knows the verifier."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.token = token
        self.challenges: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def authorize(self, location: str) -> str:
        """What a person does there; the address that the browser is sent back to."""
        asked = dict(parse_qsl(urlsplit(location).query))
        code = f"code-{len(self.challenges)}"
        self.challenges[code] = asked["code_challenge"]
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"


class Exchange(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        known = self.server.challenges.pop(form["code"], None)
        status, body = (
            (200, {"id_token": self.server.token}) if known == challenge else (400, {"error": "no"})
        )
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing to tell."""


@pytest.fixture(scope="module")
def provider(school: School) -> Iterator[Provider]:
    server = Provider(school.tokens["teacher"])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def api(school: School, provider: Provider) -> Api:
    return school.session.start_api(
        {
            "SIGN_IN_AUTHORIZE_URL": f"{provider.url}/authorize",
            "SIGN_IN_TOKEN_URL": f"{provider.url}/token",
            "PUBLIC_URL": "http://scores.localhost",
        },
        "api-with-provider",
    )


def call(school: School, api: Api, target: str, cookie: str = "") -> tuple[int, str, str]:
    """Status, where to go, and the cookie set."""
    before, school.api = school.api, api
    try:
        answer = school.call("GET", target, {"Cookie": cookie} if cookie else {})
    finally:
        school.api = before
    return answer.status, answer.headers.get("location", ""), answer.headers.get("set-cookie", "")


def test_there_and_back_with_a_token_that_holds(school: School, api: Api, provider: Provider) -> None:
    with urlopen(f"{api.url}/") as page:
        assert b'data-sign-in="offered"' in page.read()
    status, location, cookie = call(school, api, "/sign-in")
    assert (status, location.startswith(f"{provider.url}/authorize?")) == (303, True)
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    back = urlsplit(provider.authorize(location))
    held = cookie.partition(";")[0]
    status, _, _ = call(school, api, f"{back.path}?{back.query}")
    assert status == 400, "a browser that did not begin it"
    status, location, cookie = call(school, api, f"{back.path}?{back.query}", held)
    assert (status, location.partition("#")[0]) == (303, "http://scores.localhost/")
    assert "Max-Age=0" in cookie
    (token,) = parse_qs(urlsplit(location).fragment)["token"]
    asked = Request(f"{api.url}/session", headers={"Authorization": f"Bearer {token}"})
    with urlopen(asked) as answer:
        assert json.load(answer)["roles"] == ["teacher"]
    status, _, _ = call(school, api, f"{back.path}?{back.query}", held)
    assert status == 400, "a code is good once"


def test_who_comes_back_without_a_code_is_told_so(school: School, api: Api) -> None:
    status, location, _ = call(school, api, "/signed-in?error=access_denied")
    assert (status, location) == (400, "")
