"""The Checkpointer port's contract, on the twin and over kclpy; then every error the daemon may answer."""

from collections.abc import Iterator

import pytest
import stamina
from amazon_kclpy.checkpoint_error import CheckpointError

from worker.adapters.memory import MemoryCheckpointer
from worker.domain.errors import CheckpointUnavailable, Fatal, LeaseLost
from worker.domain.position import Position
from worker.kcl.checkpointer import KclCheckpointer
from worker.ports import Checkpointer

HIGH = 10**55 + 7
Sent = list[tuple[str | None, int | None]]


class StubKcl:
    """kclpy's checkpointer: answers with the errors of its script, then takes everything."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.asked = 0
        self.stored: Sent = []

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        self.asked += 1
        if self.script:
            raise CheckpointError(self.script.pop(0))
        self.stored.append((sequence_number, sub_sequence_number))


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries come at once, as many as the checkpointer asks for."""
    with stamina.set_testing(True, attempts=99, cap=True):
        yield


def test_the_twin_remembers_or_refuses() -> None:
    twin = MemoryCheckpointer()
    checkpointer: Checkpointer = twin
    checkpointer.checkpoint(Position(1))
    twin.away = True
    with pytest.raises(CheckpointUnavailable):
        checkpointer.checkpoint(Position(2))
    assert twin.positions == [Position(1)]


def test_both_numbers_are_sent_whole() -> None:
    kcl = StubKcl()
    checkpointer: Checkpointer = KclCheckpointer(kcl)
    for position in (Position(7), Position(HIGH, 41), Position(HIGH + 1, 0)):
        checkpointer.checkpoint(position)
    assert kcl.stored == [("7", 0), (str(HIGH), 41), (str(HIGH + 1), 0)]


def test_the_end_of_a_shard_is_a_bare_checkpoint() -> None:
    kcl = StubKcl()
    KclCheckpointer(kcl).end()
    assert kcl.stored == [(None, None)]


@pytest.mark.parametrize("error", ["ThrottlingException", "KinesisClientLibDependencyException"])
def test_trouble_of_the_lease_table_is_retried(error: str) -> None:
    kcl = StubKcl(error, error, error, error)
    KclCheckpointer(kcl).checkpoint(Position(7, 1))
    assert kcl.asked == 5
    assert kcl.stored == [("7", 1)]


@pytest.mark.parametrize("error", ["ThrottlingException", "KinesisClientLibDependencyException"])
@pytest.mark.parametrize("bare", [True, False])
def test_trouble_that_lasts_leaves_it_to_a_later_checkpoint(error: str, *, bare: bool) -> None:
    kcl = StubKcl(*[error] * 99)
    checkpointer = KclCheckpointer(kcl)
    with pytest.raises(CheckpointUnavailable, match=error):
        checkpointer.end() if bare else checkpointer.checkpoint(Position(7))
    assert kcl.asked == 5
    kcl.script.clear()
    checkpointer.checkpoint(Position(8))
    assert kcl.stored == [("8", 0)]


@pytest.mark.parametrize("bare", [True, False])
def test_a_lost_lease_is_told_at_once(*, bare: bool) -> None:
    kcl = StubKcl("ShutdownException")
    checkpointer = KclCheckpointer(kcl)
    with pytest.raises(LeaseLost):
        checkpointer.end() if bare else checkpointer.checkpoint(Position(7))
    assert kcl.asked == 1


def test_a_lease_lost_between_retries_is_lost() -> None:
    kcl = StubKcl("ThrottlingException", "ShutdownException")
    with pytest.raises(LeaseLost):
        KclCheckpointer(kcl).checkpoint(Position(7))


@pytest.mark.parametrize(
    "error",
    ["InvalidStateException", "IllegalArgumentException", "NullPointerException", "", "Checkpointing is not"],
)
def test_anything_else_ends_the_process(error: str) -> None:
    kcl = StubKcl(error)
    with pytest.raises(Fatal, match=f"daemon refused the checkpoint: {error}"):
        KclCheckpointer(kcl).checkpoint(Position(7))
    assert kcl.asked == 1
