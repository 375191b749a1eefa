"""Poison is found by halving, set apart, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import IDENTITY, NOW, batch, score_event
from worker.adapters.memory import MemoryLedger
from worker.batch import Batch, DeadLetter, Delivered, Record
from worker.domain.errors import LedgerUnavailable, PoisonBatch, Reason
from worker.domain.event import register_of
from worker.domain.position import Position
from worker.stream.decoding import Decoder
from worker.stream.failures import without_poison

EVIL = "evil"


class CountingLedger(MemoryLedger):
    """Refuses the items named evil, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = {EVIL}
        self.probes = 0

    def probe(self, batch: Batch) -> None:
        self.probes += 1
        super().probe(batch)


@pytest.fixture
def ledger() -> CountingLedger:
    return CountingLedger()


def batch_of(evil: set[int], size: int) -> Batch:
    return batch(*(score_event(f"s{n}", item=EVIL if n in evil else "quiz") for n in range(size)))


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 2000])
def test_one_culprit_is_found_in_logarithmic_time(ledger: CountingLedger, size: int) -> None:
    cleaned = without_poison(batch_of({size // 3}, size), ledger)
    assert [letter.number for letter in cleaned.dead_letters] == [size // 3]
    assert len(cleaned.events) == size - 1
    assert ledger.probes <= 2 * size.bit_length() + 1


@given(st.sets(st.integers(0, 19)))
def test_every_culprit_and_nobody_else_is_set_apart(evil: set[int]) -> None:
    given_batch = batch_of(evil, 20)
    cleaned = without_poison(given_batch, CountingLedger())
    assert [letter.number for letter in cleaned.dead_letters] == sorted(evil)
    assert list(cleaned.events) == [d for d in given_batch.events if d.number not in evil]
    assert (cleaned.source, cleaned.high, cleaned.read) == (given_batch.source, given_batch.high, 20)


def test_letters_that_were_there_stay(ledger: CountingLedger) -> None:
    letter = DeadLetter(Position(1), 9, Reason.NOT_JSON, None, b"?")
    given_batch = batch(score_event(item=EVIL), dead=(letter,))
    cleaned = without_poison(given_batch, ledger)
    assert cleaned.dead_letters[0] == letter
    assert [found.reason for found in cleaned.dead_letters] == [Reason.NOT_JSON, Reason.REFUSED_BY_DATABASE]


def test_equal_numbers_of_different_records_are_different_events(ledger: CountingLedger) -> None:
    events = [
        Delivered(event, register_of(event), Position(sequence, sub), 0)
        for sequence, sub, event in (
            (1, 0, score_event()),
            (1, 1, score_event(item=EVIL)),
            (2, 0, score_event("ben")),
        )
    ]
    cleaned = without_poison(Batch("test", Position(2), events), ledger)
    assert [letter.position for letter in cleaned.dead_letters] == [Position(1, 1)]
    assert len(cleaned.events) == 2


def test_the_letter_delivers_the_event_again(ledger: CountingLedger) -> None:
    event = score_event(item=EVIL, event_id="e-1", score=None)
    (letter,) = without_poison(batch(event), ledger).dead_letters
    (again,), letters = Decoder(IDENTITY, "default").decode(Record(letter.payload, Position(9), NOW))
    assert again.event == event
    assert letters == []


def test_a_batch_that_is_accepted_after_all_stays_whole(ledger: CountingLedger) -> None:
    given_batch = batch_of(set(), 4)
    assert without_poison(given_batch, ledger).events == given_batch.events
    assert ledger.probes == 1


def test_an_outage_is_not_poison(ledger: CountingLedger) -> None:
    ledger.away = True
    with pytest.raises(LedgerUnavailable):
        without_poison(batch_of({1}, 3), ledger)


def test_nothing_is_asked_about_an_empty_batch(ledger: CountingLedger) -> None:
    assert without_poison(batch(), ledger).read == 0
    assert ledger.probes == 0
    with pytest.raises(PoisonBatch):
        ledger.probe(batch_of({0}, 1))
