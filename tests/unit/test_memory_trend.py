"""When the memory of a long run counts as flat: the first minute is the JVM's, the thirds decide."""

from tests.faults.memory import Trend, trend


def series(minutes: int, *sizes: float) -> list[tuple[float, float]]:
    """So many minutes after the warm-up, six samples each, that pass through these sizes evenly."""
    count = 6 * minutes
    steady = [(60.0 + 10 * n, sizes[n * len(sizes) // count]) for n in range(count)]
    return [(0.0, 9.0), (30.0, 9_000.0), *steady]


def test_what_stays_is_flat_whatever_the_first_minute_was() -> None:
    found = trend(series(20, 500))
    assert found is not None
    assert (found.first, found.last, found.flat) == (500, 500, True)
    assert abs(found.mb_per_minute) < 1e-6


def test_what_grows_is_not() -> None:
    found = trend(series(20, *range(500, 700)))
    assert found is not None
    assert not found.flat
    assert 9 < found.mb_per_minute < 11
    assert 19 < found.minutes < 20


def test_a_saw_is_flat() -> None:
    found = trend(series(30, *[400, 500, 600] * 20))
    assert found is not None
    assert found.flat


def test_a_run_too_short_to_tell_has_no_trend() -> None:
    assert trend([]) is None
    assert trend([(float(n), 5.0) for n in range(60)]) is None


def test_the_words() -> None:
    assert str(Trend(500, 510.4, 0.521, 19.5)) == "500 -> 510 MB, +0.52 MB/min in 19.5 min"
