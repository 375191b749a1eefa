"""Poison: what can never succeed is set apart, one event at a time, and the rest goes through.

Validation at the edge leaves the database nothing to refuse; this is the net below it, so that one row of
data that nobody foresaw cannot stop a shard.
"""

from collections.abc import Sequence

from worker.batch import Batch, Delivered
from worker.domain.errors import PoisonBatch
from worker.ports import Ledger
from worker.stream.decoding import refused


def poisoned(batch: Batch) -> list[bool]:
    """For each event of the batch in its order whether it is poison."""
    if not batch.dead_letters:
        return [False] * len(batch.events)
    order = [((d.position, d.number), False) for d in batch.events]
    order += [((letter.position, letter.number), True) for letter in batch.dead_letters]
    return [bad for _, bad in sorted(order)]


def without_poison(batch: Batch, ledger: Ledger) -> Batch:
    """The same batch with every event that the ledger refuses turned into a dead letter.

    Found by halving: about log2(n) tries for one culprit among n, each rolled back.
    """
    culprits = set(_culprits(batch, batch.events, ledger))
    letters = [refused(d) for d in batch.events if (d.position, d.number) in culprits]
    return batch.of(
        [d for d in batch.events if (d.position, d.number) not in culprits], [*batch.dead_letters, *letters]
    )


def _culprits(batch: Batch, suspects: Sequence[Delivered], ledger: Ledger) -> list[tuple[object, int]]:
    if not suspects or _accepted(batch.of(suspects, ()), ledger):
        return []
    if len(suspects) == 1:
        return [(suspects[0].position, suspects[0].number)]
    middle = len(suspects) // 2
    return [
        *_culprits(batch, suspects[:middle], ledger),
        *_culprits(batch, suspects[middle:], ledger),
    ]


def _accepted(batch: Batch, ledger: Ledger) -> bool:
    try:
        ledger.probe(batch)
    except PoisonBatch:
        return False
    return True
