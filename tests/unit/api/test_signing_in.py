"""Signing in: the provider sees a challenge, nobody else can finish what one browser began."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from worker.api.page import entrance
from worker.api.problems import Away, BadRequest, NotFound
from worker.api.signing_in import Provider, Refused, SigningIn

PROVIDER = Provider(
    "https://school.example/authorize", "https://school.example/token", "page", "https://scores.example"
)


class School:
    """An identity provider: notes what it is asked, and answers or fails as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.answer: Mapping[str, Any] | Exception = {"id_token": "a.b+c", "access_token": "x"}

    def post(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        self.asked.append((url, form))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def school() -> School:
    return School()


@pytest.fixture
def signing_in(school: School) -> SigningIn:
    return SigningIn(PROVIDER, school.post)


def sent(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def test_there_and_back(signing_in: SigningIn, school: School) -> None:
    departure = signing_in.leave()
    asked = sent(departure.location)
    assert departure.location.startswith("https://school.example/authorize?")
    assert asked["redirect_uri"] == "https://scores.example/signed-in"
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", "page", "openid")
    location = signing_in.arrive("the code", asked["state"], departure.cookie)
    assert location == "https://scores.example/#token=a.b%2Bc"
    ((url, form),) = school.asked
    assert url == "https://school.example/token"
    assert (form["code"], form["redirect_uri"]) == ("the code", asked["redirect_uri"])
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert asked["code_challenge_method"] == "S256"
    assert form["code_verifier"] not in departure.location


def test_every_sign_in_has_secrets_of_its_own(signing_in: SigningIn) -> None:
    departures = [signing_in.leave() for _ in range(50)]
    assert len({departure.cookie for departure in departures}) == 50
    assert len({sent(departure.location)["code_challenge"] for departure in departures}) == 50


@pytest.mark.parametrize("cookie", [None, "", "nothing", ".", "{state}", "{state}.", "other.verifier"])
def test_another_browser_cannot_finish_it(signing_in: SigningIn, school: School, cookie: str | None) -> None:
    state = sent(signing_in.leave().location)["state"]
    told = None if cookie is None else cookie.format(state=state)
    with pytest.raises(BadRequest, match="sign in again"):
        signing_in.arrive("code", state, told)
    assert school.asked == []


def test_a_refused_code_and_a_provider_that_is_away_are_told_apart(
    signing_in: SigningIn, school: School
) -> None:
    departure = signing_in.leave()
    state = sent(departure.location)["state"]
    for error, problem in ((Refused(), BadRequest), (OSError("down"), Away), (ValueError("no JSON"), Away)):
        school.answer = error
        with pytest.raises(problem):
            signing_in.arrive("code", state, departure.cookie)


@pytest.mark.parametrize("answer", [{}, {"id_token": None}, {"id_token": 7}, {"access_token": "x"}])
def test_an_answer_without_an_identity_is_none(
    signing_in: SigningIn, school: School, answer: Mapping[str, Any]
) -> None:
    school.answer = answer
    departure = signing_in.leave()
    with pytest.raises(BadRequest, match="gave no identity"):
        signing_in.arrive("code", sent(departure.location)["state"], departure.cookie)


def test_without_a_provider_there_is_no_way(school: School) -> None:
    nowhere = SigningIn(None, school.post)
    assert not nowhere.offered
    with pytest.raises(NotFound):
        nowhere.leave()
    with pytest.raises(NotFound):
        nowhere.arrive("code", "state", "state.verifier")


@pytest.mark.parametrize(("url", "secure"), [("https://a.example", True), ("http://127.0.0.1:1", False)])
def test_the_cookie_is_for_tls_alone_where_the_page_is(school: School, url: str, secure: bool) -> None:
    assert SigningIn(PROVIDER._replace(public_url=url), school.post).secure is secure


def test_the_page_is_told_whether_there_is_a_provider() -> None:
    assert b"data-sign-in" in entrance(sign_in=True).body
    assert b"data-sign-in" not in entrance(sign_in=False).body
    assert entrance(sign_in=True).etag != entrance(sign_in=False).etag
