"""Two verdicts, each a real comparison: of Redis with the ledger, and of the scores with the input.

The first rebuilds every state from PostgreSQL and compares it byte for byte. The second reads the scores as a
reader would, and compares them with a recomputation that shares no code with the worker.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from worker.batch import StateKey
from worker.domain.score import CourseScores, scores
from worker.local.compare import Comparison, Outputs, Pair, compare
from worker.local.edges import Edges
from worker.stream.projecting import state_value
from worker.stream.reading import ScoreReader

_PAGE = 2_000


class States(NamedTuple):
    """How many states the ledger has, and how many of them Redis holds exactly."""

    equal: int
    total: int
    differing: list[StateKey]

    @property
    def full(self) -> bool:
        return self.equal == self.total > 0

    def __str__(self) -> str:
        return f"{self.equal:,} of {self.total:,} states"


def states_equal_ledger(edges: Edges) -> States:
    """Rebuild every state from the ledger and compare it with what Redis holds."""
    equal = total = 0
    differing: list[StateKey] = []
    for page in edges.ledger.versions(_PAGE):
        keys = [key for key, _ in page]
        expected = edges.ledger.read(keys)
        for key, held in zip(keys, edges.projection.states(keys), strict=True):
            total += 1
            if held == state_value(expected[key]):
                equal += 1
            else:
                differing.append(key)
    return States(equal, total, differing)


def scores_equal_recomputation(edges: Edges, expected: Mapping[Pair, Outputs], as_of: datetime) -> Comparison:
    """Read every expected student's scores and compare each figure."""
    reader = ScoreReader(edges.ledger, edges.projection)
    actual: dict[Pair, Outputs] = {}
    for pair in expected:
        found = read_scores(reader, edges.key(*pair), as_of)
        if found is not None:
            actual[pair] = msgspec.structs.asdict(found)
    return compare(expected, actual)


def read_scores(reader: ScoreReader, key: StateKey, as_of: datetime) -> CourseScores | None:
    """One student's scores in one course as a reader sees them, None where the ledger has none."""
    read = reader.read(key)
    return None if read is None else scores(read.window, as_of)
