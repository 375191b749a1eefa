"""Positions are compared as the integers they are: neither as text, nor as doubles, nor in 64 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.position import ORIGIN, WHOLE, Position, from_checkpoint, parse

LARGEST = 10**56 - 1
POSITIONS = st.builds(Position, st.integers(0, LARGEST), st.integers(0, 2**31), st.just(WHOLE))


def test_more_digits_come_later() -> None:
    assert Position(9) < Position(10)  # as text '9' is after '10'


def test_neighbours_of_56_digits_are_told_apart() -> None:
    low = Position(LARGEST - 1)
    high = Position(LARGEST)
    assert float(low.sequence) == float(high.sequence)  # a double cannot
    assert low < high
    assert max(high, low) == high


def test_the_place_inside_an_aggregate_decides_second() -> None:
    assert Position(7, 9) < Position(7, 10) < Position(8, 0)


@given(POSITIONS)
def test_text_round_trip(position: Position) -> None:
    assert parse(str(position)) == position
    assert str(position) == f"{position.sequence:d}:{position.sub_sequence:d}"


@given(POSITIONS)
def test_the_origin_is_before_everything_and_survives_the_round_trip(position: Position) -> None:
    assert position > ORIGIN
    assert parse(str(ORIGIN)) == ORIGIN


@given(POSITIONS, st.integers(0, WHOLE - 1))
def test_inside_a_record_is_before_its_end_and_after_the_record_before(position: Position, done: int) -> None:
    inside = position._replace(events=done)
    assert Position(position.sequence, position.sub_sequence - 1) < inside < position
    assert inside < inside._replace(events=done + 1) <= position
    assert parse(str(inside)) == inside
    assert str(inside) == f"{position}:{done:d}"


@given(POSITIONS, POSITIONS)
def test_the_order_of_texts_is_the_order_of_integers(one: Position, other: Position) -> None:
    expected = (one.sequence, one.sub_sequence) < (other.sequence, other.sub_sequence)
    assert (parse(str(one)) < parse(str(other))) is expected


@pytest.mark.parametrize(
    "text", ["", "5", "5:", ":5", "a:1", "1:b", "1:2:", "1:2:c", "1:2:3:4", "1.5:0", "1e3:0"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse(text)


@pytest.mark.parametrize("word", ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "SHARD_END", "", None, "-1"])
def test_the_words_of_a_checkpoint_are_no_position(word: str | None) -> None:
    assert from_checkpoint(word, 0) is None


@pytest.mark.parametrize(("sub", "expected"), [(None, 0), (0, 0), (3, 3)])
def test_a_numeric_checkpoint_is_a_position(sub: int | None, expected: int) -> None:
    digits = "9" * 56
    assert from_checkpoint(digits, sub) == Position(LARGEST, expected)
