"""The state is a pure function of its attempts: whatever order they come in, or a rebuild is asked for."""

import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain.event import micros
from worker.domain.window import (
    DAY_MICROS,
    DAYS,
    EMPTY,
    HEADER_SIZE,
    NEVER,
    NOTHING,
    RING,
    Ambiguous,
    Attempt,
    UnknownFormat,
    Version,
    Window,
    fold,
    header,
    rebuild,
    unpack,
    version_of,
)

RATIOS = st.none() | st.integers(-(10**9), 10**9) | st.sampled_from([0, 1_000_000, 1_000_001])
DAY_OF_2026 = micros(datetime(2026, 1, 1, tzinfo=UTC)) // DAY_MICROS
TIMES = st.builds(
    lambda day, rest: (DAY_OF_2026 + day) * DAY_MICROS + rest,
    st.integers(-40, 40),
    st.sampled_from([0, 1, DAY_MICROS // 2, DAY_MICROS - 1]) | st.integers(0, DAY_MICROS - 1),
)
HIGH = st.integers(-(2**31), 2**31 - 1)
LOW = st.integers(0, 2**32 - 1)
Histories = st.SearchStrategy[list[Attempt]]
FEW_TIMES = st.integers(0, 3).map(lambda step: DAY_OF_2026 * DAY_MICROS + (step - 2) * 1_000_000)


def histories(times: st.SearchStrategy[int], highs: st.SearchStrategy[int]) -> Histories:
    """Attempts in the order they arrive, with different keys; some overflow the ring."""
    attempt = st.builds(
        lambda at, high, low, r: Attempt(at, (high << 32) + low, r), times, highs, LOW, RATIOS
    )
    short = st.lists(attempt, max_size=8, unique_by=lambda a: a.key)
    return short | st.lists(attempt, min_size=RING, max_size=2 * RING, unique_by=lambda a: a.key)


def has_twins(attempts: list[Attempt]) -> bool:
    """Whether a state, which keeps half of the key, cannot tell two scored attempts apart."""
    places = [(a.occurred, a.key >> 32) for a in attempts if a.ratio is not None]
    return len(set(places)) < len(places)


DISTINCT = (histories(TIMES, HIGH) | histories(FEW_TIMES, HIGH)).filter(lambda found: not has_twins(found))
NEARLY_EQUAL = histories(FEW_TIMES, st.integers(-2, 2))


def folded(attempts: list[Attempt]) -> bytes:
    content = EMPTY
    for attempt in attempts:
        content = fold(content, attempt)
    return content


def expected(attempts: list[Attempt]) -> Window:
    """The state by its description, slowly."""
    scored = sorted((a.occurred, a.key, a.ratio) for a in attempts if a.ratio is not None)
    by_day: dict[int, list[int]] = {}
    for occurred, _, ratio in scored:
        by_day.setdefault(occurred // DAY_MICROS, []).append(ratio)
    newest = max(by_day, default=0)
    return Window(
        total=len(attempts),
        scored=len(scored),
        best=max((ratio for _, _, ratio in scored), default=NOTHING),
        last_activity=max((a.occurred for a in attempts), default=NEVER),
        days=[(d, sum(by_day[d]), len(by_day[d])) for d in sorted(by_day) if d > newest - DAYS],
        ring=[(occurred, ratio, key >> 32) for occurred, key, ratio in scored[-RING:]],
    )


@given(DISTINCT)
def test_folding_in_the_order_of_arrival_equals_the_rebuild(attempts: list[Attempt]) -> None:
    assert folded(attempts) == rebuild(attempts)


@given(NEARLY_EQUAL)
def test_where_keys_nearly_meet_the_fold_is_right_or_cannot_tell(
    attempts: list[Attempt],
) -> None:
    try:
        content = folded(attempts)
    except Ambiguous:
        assert has_twins(attempts)
    else:
        assert content == rebuild(attempts)


@given(DISTINCT | NEARLY_EQUAL)
def test_the_rebuild_is_the_described_state_in_any_order(attempts: list[Attempt]) -> None:
    content = rebuild(attempts)
    assert unpack(content) == expected(attempts)
    assert rebuild(reversed(attempts)) == content
    assert len(content) <= 23 + 14 * DAYS + 16 * RING


@given(DISTINCT, st.integers(0, 2 * RING))
def test_folding_onto_a_rebuilt_state_goes_on_as_if_folded_from_the_start(
    attempts: list[Attempt], cut: int
) -> None:
    content = rebuild(attempts[:cut])
    for attempt in attempts[cut:]:
        content = fold(content, attempt)
    assert content == rebuild(attempts)


def at(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0
) -> int:
    return micros(datetime(year, month, day, hour, minute, second, micro, UTC))


def minute(n: int, ratio: int | None = None) -> Attempt:
    """Attempt n, made n minutes after noon; its ratio is n unless told."""
    return Attempt(at(2026, 3, 2, 12, n), n << 32, n if ratio is None else ratio)


def ring(content: bytes) -> list[int]:
    return [ratio for _, ratio, _ in unpack(content).ring]


def days(content: bytes) -> list[tuple[str, int, int]]:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    return [(f"{first + timedelta(day):%Y-%m-%d}", total, n) for day, total, n in unpack(content).days]


def test_nothing_is_in_an_empty_state() -> None:
    assert rebuild([]) == EMPTY
    assert unpack(EMPTY) == Window(0, 0, NOTHING, NEVER, [], [])


def test_the_ring_rolls_over_at_twenty() -> None:
    content = folded([minute(n) for n in range(1, 21)])
    #  minute   1  2  3 ...... 19 20
    #  ring    [1  2  3 ...... 19 20]           full
    assert ring(content) == list(range(1, 21))

    content = fold(content, minute(21))
    #  minute   1  2  3 ...... 19 20 21
    #  ring       [2  3 ...... 19 20 21]        the oldest leaves
    assert ring(content) == list(range(2, 22))

    content = fold(content, minute(40))
    #  minute   1  2  3 ...... 19 20 21 .... 40
    #  ring          [3 ...... 19 20 21      40]
    assert ring(content) == [*range(3, 22), 40]

    content = fold(content, minute(30))
    #  minute   1  2  3  4 ... 19 20 21  30  40
    #  ring             [4 ... 19 20 21  30  40]   late, but newer than the oldest kept: takes its place
    assert ring(content) == [*range(4, 22), 30, 40]

    content = fold(content, minute(2, ratio=77))
    #  minute   1  2' 2  3  4 ... 20 21  30  40
    #  ring                [4 ... 20 21  30  40]   older than all that is kept: only counted
    assert ring(content) == [*range(4, 22), 30, 40]
    assert unpack(content)[:4] == (24, 24, 77, at(2026, 3, 2, 12, 40))


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        (0, [1, 2, 3]),  # before a full ring: not kept
        (1, [99, 2, 3]),  # just after its oldest: that one leaves
        (2, [2, 99, 3]),
        (3, [2, 3, 99]),
    ],
)
def test_a_late_attempt_takes_its_place(place: int, kept: list[int]) -> None:
    newer = [minute(n) for n in range(4, 21)]
    full = [minute(1), minute(2), minute(3), *newer]
    #  ring    [1  2  3  4 ...... 20]
    #  late    ^0 ^1 ^2 ^3                      30 s after the attempt of that number
    late = Attempt(at(2026, 3, 2, 12, place, 30), 0, 99)
    assert ring(folded([*full, late])) == [*kept, *range(4, 21)]


def test_activity_is_counted_and_never_enters_ring_days_or_best() -> None:
    scored = [minute(n) for n in range(1, 4)]
    activity = Attempt(at(2026, 5, 1), 5, None)
    before, after = unpack(folded(scored)), unpack(folded([*scored, activity]))
    assert after == before._replace(total=4, last_activity=at(2026, 5, 1))
    assert unpack(folded([activity])) == Window(1, 0, NOTHING, at(2026, 5, 1), [], [])


def test_days_end_at_utc_midnight_also_between_years() -> None:
    #            2025-12-31         |  2026-01-01            |  01-02
    #   ... 23:59:59.999999 (1, 2)  |  00:00 (10)  23:59 (20)|  00:00 (100)
    content = rebuild(
        [
            Attempt(at(2025, 12, 31, 23, 59, 59, 999_998), 1, 1),
            Attempt(at(2025, 12, 31, 23, 59, 59, 999_999), 2, 2),
            Attempt(at(2026, 1, 1), 3, 10),
            Attempt(at(2026, 1, 1, 23, 59, 59, 999_999), 4, 20),
            Attempt(at(2026, 1, 2), 5, 100),
        ]
    )
    assert days(content) == [("2025-12-31", 3, 2), ("2026-01-01", 30, 2), ("2026-01-02", 100, 1)]


@pytest.mark.parametrize(
    ("newest", "oldest_kept", "last_dropped"),
    [
        (at(2026, 1, 30), "2025-12-31", "2025-12-30"),  # across the year
        (at(2024, 3, 30), "2024-02-29", "2024-02-28"),  # across a leap day
        (at(2023, 3, 30), "2023-02-28", "2023-02-27"),
        (at(2026, 11, 1, 23, 59, 59, 999_999), "2026-10-02", "2026-10-01"),  # a zone's clock change is none
    ],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_31_days_that_end_with_the_newest_scored_day(
    newest: int, oldest_kept: str, last_dropped: str, *, newest_first: bool
) -> None:
    #   -31    -30 ─────────────────────── 0
    #  dropped  kept                     newest
    daily = [Attempt(newest - n * DAY_MICROS, n << 32, 1) for n in range(40)]
    content = folded(daily if newest_first else daily[::-1])
    kept = [day for day, _, _ in days(content)]
    assert len(kept) == DAYS
    assert kept[0] == oldest_kept
    assert last_dropped not in kept
    assert unpack(content).scored == 40


def test_activity_moves_no_day_out() -> None:
    content = folded([minute(1), Attempt(at(2027, 1, 1), 2, None)])
    assert days(content) == [("2026-03-02", 1, 1)]


def test_twins_that_only_the_low_half_of_the_key_tells_apart_need_the_ledger() -> None:
    one, other = Attempt(at(2026, 3, 2), (7 << 32) + 1, 10), Attempt(at(2026, 3, 2), (7 << 32) + 2, 20)
    with pytest.raises(Ambiguous):
        folded([one, other])
    assert ring(rebuild([other, one])) == [10, 20]
    assert ring(rebuild([other._replace(ratio=None), one])) == [10]  # activity is not in the ring


def test_equal_times_are_ordered_by_the_signed_key() -> None:
    noon = at(2026, 3, 2, 12)
    keys = [-(2**63), -(2 << 32), -1, 0, 1 << 32, 2**63 - 1]
    attempts = [Attempt(noon, key, place) for place, key in enumerate(keys)]
    assert ring(folded(attempts[::-1])) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("ratio", [-(10**9), 10**9])
def test_the_widest_values_fit(ratio: int) -> None:
    attempts = [Attempt(at(2148, 12, 31, second=n), (n - 20) << 58, ratio) for n in range(40)]
    state = unpack(folded(attempts))
    assert state.days[0][1] == 40 * ratio
    assert state.best == ratio


def test_the_layout_on_the_wire() -> None:
    noon = at(2026, 3, 2, 12)
    content = folded([Attempt(noon, -5 << 32, 700_000), Attempt(noon + 1, 0, None)])
    head = struct.pack("<BIIiqBB", 1, 2, 1, 700_000, noon + 1, 1, 1)
    assert content == head + struct.pack("<HqI", 20_514, 700_000, 1) + struct.pack("<qii", noon, 700_000, -5)


@pytest.mark.parametrize("form", [0, 2, 255])
def test_a_state_of_another_format_is_never_read(form: int) -> None:
    foreign = bytes([form]) + rebuild([minute(1)])[1:]
    with pytest.raises(UnknownFormat):
        unpack(foreign)
    for attempt in (minute(0), minute(2), Attempt(0, 0, None)):
        with pytest.raises(UnknownFormat):
            fold(foreign, attempt)


VERSIONS = st.builds(Version, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(VERSIONS, VERSIONS)
@example(Version(1, 2), Version(2, 1))
def test_headers_are_equal_only_for_equal_versions(one: Version, other: Version) -> None:
    assert (header(one) == header(other)) is (one == other)
    assert version_of(header(one) + EMPTY) == one


def test_the_header_on_the_wire() -> None:
    value = header(Version(1, 258))
    assert value == b"S" + b"\0\0\0\0\0\0\0\x01" + b"\0\0\0\0\0\0\x01\x02"
    assert len(value) == HEADER_SIZE
