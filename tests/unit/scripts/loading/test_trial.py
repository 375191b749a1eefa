"""A run against a system in memory: what it measures, and what it finds when the system lies."""

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from rich.console import Console

from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from scripts.loading import sending, trial
from scripts.loading.figures import Trial
from scripts.loading.plan import Crowd
from scripts.loading.trial import Order, run_trial
from tests.load_doubles import System
from worker.domain.errors import StreamUnavailable
from worker.domain.event import Kind, ScoreEvent

CROWD = Crowd(students=40, courses=5, each=2)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system in memory needs no time to become quiet."""
    monkeypatch.setattr(trial, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(trial, "_LOOK_SECONDS", 0.02)


def tried(system: System, stopping: Stopping | None = None, **changes: Any) -> Trial:
    order = Order("r", "steady", 1_000, 0.5, CROWD, seed=1, drain=0.3)._replace(**changes)
    show = Show(Console(file=io.StringIO()))
    return run_trial(system.target, order, show, stopping or Stopping())


def without(number: int) -> Any:
    """Loses one event of each put, where it has so many."""

    def spoil(events: Sequence[ScoreEvent]) -> Sequence[ScoreEvent]:
        return [event for n, event in enumerate(events) if n != number]

    return spoil


def test_a_sound_system_loses_and_doubles_nothing() -> None:
    found = tried(System())
    assert found.sent == found.planned == found.read == 500
    assert (found.lost, found.double, found.missing, found.unexpected, found.unknown) == (0, 0, 0, 0, 0)
    assert found.whole
    assert found.found == found.standing == found.distinct - found.voided
    assert found.outcomes["applied"] == found.distinct
    assert sum(found.balance.values()) == 500
    assert sorted(found.balance) == ["0", "1"]
    assert found.latency.samples > 0
    assert found.latency.unseen == 0
    assert sum(found.offered) == sum(found.acknowledged) == 500


def test_attempts_that_vanish_on_the_way_are_lost() -> None:
    found = tried(System(without(0)))
    assert found.sent == 500
    assert found.lost > 0
    assert found.missing > 0
    assert not found.whole


def test_a_register_that_nobody_sent_is_double() -> None:
    def spoil(events: Sequence[ScoreEvent]) -> Sequence[ScoreEvent]:
        return [*events, msgspec.structs.replace(events[0], item_id="another")]

    found = tried(System(spoil))
    assert found.lost == 0
    assert found.double > 0


def test_a_correction_that_is_forgotten_shows() -> None:
    def spoil(events: Sequence[ScoreEvent]) -> Sequence[ScoreEvent]:
        return [event for event in events if event.graded_at == event.occurred_at]

    found = tried(System(spoil), rate=4_000)
    assert found.missing > 0 or found.unexpected > 0
    assert found.lost + found.double > 0


def test_a_void_that_is_forgotten_shows() -> None:
    def spoil(events: Sequence[ScoreEvent]) -> Sequence[ScoreEvent]:
        return [event for event in events if event.kind is not Kind.VOIDED]

    assert tried(System(spoil), rate=8_000).double > 0


def test_what_is_delivered_twice_is_counted_and_changes_nothing() -> None:
    found = tried(System(lambda events: [*events, *events]))
    assert (found.lost, found.double) == (0, 0)
    assert found.outcomes["duplicate"] + found.outcomes["superseded"] > 400


def test_a_projection_that_differs_is_seen() -> None:
    system = System()
    plain = system.projection.states

    def stale(keys: Any) -> list[bytes | None]:
        return [None, *plain(keys)[1:]] if len(keys) > 10 else plain(keys)

    system.projection.states = stale  # type: ignore[method-assign]
    found = tried(system)
    assert found.states_equal < found.states
    assert not found.whole


def test_refusals_are_repeated_until_taken() -> None:
    found = tried(System(refuse_every=3))
    assert found.refusals > 0
    assert found.sent == 500
    assert found.whole


def test_a_slow_way_in_is_not_waited_for_and_fails_the_rate() -> None:
    found = tried(System(slow_seconds=0.7), seconds=1.0)
    assert found.sent == 1_000
    quick = found.latency.quantiles["p50"]
    assert quick > 0.35, "an event has waited since its own moment, not since its put"
    assert found.late_seconds > 0.5


def test_a_run_that_is_asked_to_stop_proves_what_it_sent() -> None:
    stopping = Stopping()
    system = System(on_put=lambda number: stopping.ask() if number == 4 else None)
    found = tried(system, stopping, seconds=60.0)
    assert found.interrupted
    assert 0 < found.sent == found.planned < 60_000
    assert found.read == found.sent
    assert found.whole


def test_two_runs_on_one_system_do_not_meet() -> None:
    system = System()
    tried(system, run="a")
    assert tried(system, run="b").whole


def test_what_nobody_acknowledged_is_neither_lost_nor_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "_GIVE_UP_SECONDS", 0.0)
    system = System()
    plain = system.send

    def taken_and_not_said(events: Sequence[ScoreEvent]) -> None:
        plain(events)
        if system.puts >= 5:
            raise StreamUnavailable

    system.send = taken_and_not_said  # type: ignore[method-assign]
    found = tried(system)
    assert found.unknown > 0
    assert found.sent < found.planned
    assert (found.lost, found.double) == (0, 0)
    assert not found.held
