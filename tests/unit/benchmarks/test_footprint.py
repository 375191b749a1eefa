"""A long series is kept as few points."""

from benchmarks.footprint import thinned


def test_a_long_series_keeps_its_last_point() -> None:
    series = [(3.0 * n, 500.0 + n) for n in range(1_000)]
    kept = thinned(series)
    assert len(kept) <= 60
    assert kept[-1] == (49.95, 1_499.0)
    assert kept == sorted(kept)


def test_a_short_one_is_kept_whole() -> None:
    assert thinned([(0.0, 1.0), (60.0, 2.0)]) == [(0.0, 1.0), (1.0, 2.0)]
