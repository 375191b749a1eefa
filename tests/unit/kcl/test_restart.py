"""When the daemon is started again and when it is given up: arithmetic, no sleeping."""

from worker.kcl.restart import RestartPolicy

POLICY = RestartPolicy(crash_limit=4, crash_window_seconds=100)


def exits(policy: RestartPolicy, *lives: tuple[float, float]) -> RestartPolicy:
    for started, now in lives:
        policy = policy.after_exit(started, now)
    return policy


def test_the_pause_doubles_up_to_its_longest() -> None:
    policy = RestartPolicy(crash_limit=99)
    pauses = []
    for number in range(7):
        policy = policy.after_exit(number, number)
        pauses.append(policy.pause_seconds(jitter=0))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_jitter_takes_up_to_half_of_the_pause() -> None:
    policy = exits(POLICY, (0, 1), (2, 3))
    assert policy.pause_seconds(jitter=0) == 2
    assert policy.pause_seconds(jitter=0.5) == 1.5


def test_a_long_life_starts_the_doubling_anew() -> None:
    # started  0   2        63 = 61 s of life
    # exits      1              124
    policy = exits(POLICY, (0, 1), (2, 3), (63, 124))
    assert policy.pause_seconds(jitter=0) == 1


def test_gives_up_at_the_limit_within_the_window() -> None:
    policy = exits(POLICY, (0, 1), (2, 3), (4, 5))
    assert not policy.gives_up
    assert policy.after_exit(6, 7).gives_up


def test_exits_older_than_the_window_do_not_count() -> None:
    # exits  1   3   5                      101.0
    # window     |--------- 100 s ----------|      the first one is out
    policy = exits(POLICY, (0, 1), (2, 3), (4, 5), (6, 101))
    assert list(policy.exits) == [3, 5, 101]
    assert not policy.gives_up


def test_a_policy_never_changes() -> None:
    POLICY.after_exit(0, 1)
    assert POLICY.exits == ()


def test_a_very_long_streak_keeps_the_longest_pause() -> None:
    assert RestartPolicy(streak=5_000).pause_seconds(jitter=0) == 30
