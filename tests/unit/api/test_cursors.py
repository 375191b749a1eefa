"""A cursor brings its own place back, and garbage is refused whatever it is made of."""

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import NOW
from worker.api import cursors
from worker.api.problems import BadRequest

ATTEMPTS: Any = tuple[cursors.Moment, cursors.Number]
DISCLOSURES: Any = tuple[cursors.Moment, UUID, cursors.Number]


def test_a_place_comes_back() -> None:
    for place, form in (
        ((NOW, -(2**63)), ATTEMPTS),
        ((NOW, UUID(int=7), 2**63 - 1), DISCLOSURES),
        ("a pseudonym", str),
    ):
        cursor = cursors.encode(place)
        assert "=" not in cursor
        assert cursors.decode(cursor, form) == place
    assert cursors.decode(None, str) is None


def of(place: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


@given(st.text(max_size=60))
@example("a")
@example("\x00")
@example("é")
@example("\ud800")
@example("kw" * 200)
def test_garbage_is_refused(text: str) -> None:
    for form in (ATTEMPTS, DISCLOSURES, list[int]):
        with pytest.raises(BadRequest):
            cursors.decode(text, form)


@pytest.mark.parametrize(
    "place",
    [
        (NOW, 2**63),
        (NOW, 2**64 - 1),
        (NOW, -1.5),
        (NOW, "7"),
        (NOW,),
        (NOW, 1, 1),
        (datetime(2026, 1, 1), 1),  # noqa: DTZ001 - what must be refused
        ("yesterday", 1),
        (1, 1),
        {"a": 1},
        None,
        "x" * 300,
    ],
)
def test_a_place_of_another_kind_is_refused(place: Any) -> None:
    with pytest.raises(BadRequest):
        cursors.decode(of(place), ATTEMPTS)


def test_the_ends_of_time_are_places() -> None:
    for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        place = (moment, 0)
        assert cursors.decode(cursors.encode(place), ATTEMPTS) == place
