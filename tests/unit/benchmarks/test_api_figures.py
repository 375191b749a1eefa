"""The API's figures as goals: the p99 of readers, and that every request was answered well."""

from benchmarks.request_figures import READ_P99_MS, Figures, goals, kept


def figures(p99: float, **statuses: int) -> Figures:
    return Figures(
        reads_per_second=1_000,
        read_p50=0.004,
        read_p99=p99,
        service_cpu_per_read=0.0009,
        events_per_second=80_000,
        events_per_core_second=90_000,
        load_cpu_share_reads=0.1,
        load_cpu_share_events=0.1,
        statuses={name.removeprefix("s"): count for name, count in statuses.items()},
    )


def test_a_fast_tail_and_good_answers_meet_the_goals() -> None:
    read, answered = goals(figures(0.009, s200=10, s202=5), 1_000)
    assert (read.met, read.limit, read.binds) == (True, READ_P99_MS, "")
    assert (answered.met, answered.value, answered.binds) == (True, 0, "")


def test_a_slow_tail_says_how_full_the_core_was() -> None:
    read, _ = goals(figures(0.02, s200=10), 1_000)
    assert not read.met
    assert read.binds.startswith("the service, 90% of the 1 core")


def test_answers_that_are_not_good_are_told() -> None:
    _, answered = goals(figures(0.009, s200=10, s503=2, s429=1), 1_000)
    assert (answered.met, answered.value) == (False, 3)
    assert answered.binds == "10 times 200, 1 times 429, 2 times 503"


def test_the_units_stand_in_the_keys() -> None:
    found = kept(figures(0.009, s200=10))
    assert found["read_p99_ms"] == 9
    assert found["service_us_per_read"] == 900
