"""The attempt's key, the order of its writers and the ratio, as `docs/scores.md` defines them."""

import hashlib
import itertools
import struct
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW, minutes, score_event
from worker.domain.event import (
    EPOCH,
    ScoreEvent,
    from_micros,
    length_prefixed,
    micros,
    order_of,
    ratio_micros,
    register_of,
)

PARTS = st.lists(st.binary(max_size=6), max_size=5)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2148, 1, 1), timezones=OFFSETS)  # noqa: DTZ001


@given(MOMENTS)
def test_microseconds_are_exact_in_every_zone(moment: datetime) -> None:
    assert from_micros(micros(moment)) == moment
    assert from_micros(micros(moment)).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "value"),
    [
        (EPOCH, 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
        (datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1))), -3_600_000_000),
        (datetime(2026, 2, 2, 9, tzinfo=UTC), 1_770_022_800_000_000),
    ],
)
def test_microseconds_since_1970(moment: datetime, value: int) -> None:
    assert micros(moment) == value


def split(joined: bytes) -> list[bytes]:
    """The parts of a length-prefixed join: that they can be read back is why no two lists join alike."""
    parts = []
    while joined:
        end = 4 + int.from_bytes(joined[:4], "big")
        parts.append(joined[4:end])
        joined = joined[end:]
    return parts


@given(PARTS)
def test_no_two_lists_of_parts_join_alike(parts: list[bytes]) -> None:
    assert split(length_prefixed(*parts)) == parts


@given(st.binary(max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_cutting_the_same_bytes_elsewhere_gives_another_join(whole: bytes, one: int, other: int) -> None:
    cut, recut = (whole[:one], whole[one:]), (whole[:other], whole[other:])
    assert (length_prefixed(*cut) == length_prefixed(*recut)) is (cut == recut)


@pytest.mark.parametrize(
    ("event", "key", "check"),
    [
        (
            score_event(item="quiz-1", attempt=1, at=datetime(2026, 2, 2, 9, tzinfo=UTC)),
            7872585907163874401,
            -6227301012766581687,
        ),
        (
            score_event(item="quiz-1", attempt=0, event_id="evt-7", at=datetime(2026, 2, 2, 9, tzinfo=UTC)),
            835131040957404500,
            -8084467654676669028,
        ),
        (
            score_event(item="essay", attempt=None, event_id="evt-7"),
            8341239781993870678,
            -946693173588584444,
        ),
        (
            score_event(
                item="Prüfung 1",
                attempt=None,
                source="moodle",
                at=datetime(2026, 3, 3, 18, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=1))),
            ),
            -7284287912171853357,
            -3672994577402471697,
        ),
        (score_event(item="lab", attempt=None, at=EPOCH), 7502899451469677461, -7581541875638034991),
    ],
)
def test_the_published_attempt_keys(event: ScoreEvent, key: int, check: int) -> None:
    register = register_of(event)
    assert (register.key, register.check) == (key, check)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        # the number names the attempt, whatever else changes
        (score_event(attempt=1, event_id="a"), score_event(attempt=1, event_id="b", at=EPOCH), True),
        (score_event(attempt=1), score_event(attempt=2), False),
        (score_event(attempt=1), score_event(attempt=1, void=True), True),
        # without a number the message's id
        (score_event(attempt=None, event_id="a"), score_event(attempt=None, event_id="a", at=EPOCH), True),
        (score_event(attempt=None, event_id="a"), score_event(attempt=None, event_id="b"), False),
        # without both the time
        (score_event(attempt=None), score_event(attempt=None, score=1), True),
        (score_event(attempt=None), score_event(attempt=None, at=NOW + minutes(1)), False),
        # the three names never meet, even when they read the same
        (score_event(attempt=7), score_event(attempt=None, event_id="7"), False),
        (score_event(attempt=0), score_event(attempt=None, at=EPOCH), False),
        (score_event(attempt=None, event_id="0"), score_event(attempt=None, at=EPOCH), False),
        # nor do source and item run into each other
        (score_event(source="ab", item="c"), score_event(source="a", item="bc"), False),
    ],
)
def test_what_names_an_attempt(one: ScoreEvent, other: ScoreEvent, *, same: bool) -> None:
    a, b = register_of(one), register_of(other)
    assert ((a.key, a.check) == (b.key, b.check)) is same


LATER = NOW + minutes(1)
LADDER = [
    # each writer is beaten by every one below it: by grading time, then kind, then event id
    score_event(graded=NOW, event_id="z"),
    score_event(graded=NOW, void=True),
    score_event(graded=LATER),
    score_event(graded=LATER, event_id="a"),
    score_event(graded=LATER, event_id="b", score=0),
    score_event(graded=LATER, event_id="\uffff"),
    score_event(graded=LATER, event_id="\U00010000"),  # by UTF-8 bytes; by UTF-16 units it would be lower
    score_event(graded=LATER, void=True),
    score_event(graded=LATER, void=True, event_id="a"),
]


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(LADDER, 2)))
def test_the_last_writer_wins(low: ScoreEvent, high: ScoreEvent) -> None:
    assert order_of(low, register_of(low)) < order_of(high, register_of(high))


def test_the_decoder_revision_decides_before_the_content() -> None:
    one, other = score_event(score=1), score_event(score=2)
    a, b = sorted([register_of(one), register_of(other)], key=lambda register: register.digest)
    newer = msgspec.structs.replace(a, rev=a.rev + 1)
    assert order_of(one, a) < order_of(one, b) < order_of(one, newer)


@given(st.text(max_size=4), st.text(max_size=4))
def test_event_ids_compare_by_their_utf8_bytes(one: str, other: str) -> None:
    a, b = score_event(event_id=one), score_event(event_id=other)
    by_order = order_of(a, register_of(a)) < order_of(b, register_of(b))
    assert by_order is (one.encode() < other.encode())


@pytest.mark.parametrize("score", [None, 0.0, -0.0, 7.25, -3.0])
@pytest.mark.parametrize("void", [False, True])
def test_the_digest_is_the_published_one(score: float | None, *, void: bool) -> None:
    event = score_event(score=score, max_score=9.5, void=void)
    there = score is not None and not void
    content = b"\x01" + bytes([there])
    content += struct.pack(">d", (score or 0.0) if there else 0.0) + bytes([void])
    content += struct.pack(">d", 0.0 if void else 9.5) + struct.pack(">q", micros(NOW))
    assert len(content) == 27
    assert register_of(event).digest == hashlib.blake2b(content, digest_size=16).digest()


def test_no_score_is_another_content_than_no_points() -> None:
    assert register_of(score_event(score=None)).digest != register_of(score_event(score=0)).digest


@pytest.mark.parametrize(
    ("score", "max_score", "expected"),
    [
        (None, 10, None),
        (5, 0, None),  # a task without points is activity
        (0, 0, None),
        (None, 0, None),
        (0, 10, 0),
        (-0.0, 10, 0),
        (6, 10, 600_000),
        (11, 10, 1_100_000),
        (-5, 10, -500_000),
        (1, 3, 333_333),
        (2, 3, 666_667),
        (775, 774, 1_001_292),
        (3.3000000000000003, 3.3, 1_000_000),
        (1e6, 1e3, 1_000_000_000),
        (-1e6, 1e3, -1_000_000_000),
        # halves of a millionth go to the even neighbour: these are exact in binary
        (1, 128, 7_812),
        (3, 128, 23_438),
        (-1, 128, -7_812),
        (-3, 128, -23_438),
    ],
)
def test_the_ratio_in_millionths(score: float | None, max_score: float, expected: int | None) -> None:
    assert ratio_micros(score, max_score) == expected


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_ratio_is_off_by_half_a_millionth_at_most(score: float, max_score: float) -> None:
    kept = ratio_micros(score, max_score)
    assert kept is not None
    exact = score / max_score
    assert abs(kept / 1e6 - exact) <= 0.5e-6 + abs(exact) * 1e-15
