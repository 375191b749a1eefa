"""The page in a real browser: against the fake API, or against a running system named by `PAGE_SITE`.

`PAGE_SITE` is the path of a JSON file with the members of `Site`. Tests that rearrange the school ask for
`school` and only run against the fake.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser

from tests.page.browsing import Tab, chromium, tab
from tests.page.fake import FakeApi, School, serving


class Site(msgspec.Struct, frozen=True):
    """Where the page is, whom it knows, and a course with a student in it."""

    origin: str
    tokens: dict[str, str]
    course: str = "algebra"
    student: str = "s-017"


@pytest.fixture(scope="module")
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture(scope="module")
def site(api: FakeApi) -> Iterator[Site]:
    if real := os.environ.get("PAGE_SITE"):
        yield msgspec.json.decode(Path(real).read_bytes(), type=Site)
        return
    roles = ("producer", "student", "teacher", "official", "analyst", "operator")
    with serving(api) as origin:
        yield Site(origin, {role: f"token-{role}" for role in roles})


@pytest.fixture
def school(api: FakeApi) -> School:
    """A fresh school behind the fake."""
    if "PAGE_SITE" in os.environ:
        pytest.skip("rearranges the school, which only the fake allows")
    api.school = School()
    return api.school


# of a module, not of the session: while it lives, no test of this process may run an event loop of its own
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


Opener = Callable[..., AbstractContextManager[Tab]]


@pytest.fixture
def open_tab(browser: Browser, site: Site) -> Opener:
    return partial(tab, browser, site.origin)


@pytest.fixture
def desk(open_tab: Opener) -> Iterator[Tab]:
    """A tab on a desktop."""
    with open_tab() as opened:
        yield opened
