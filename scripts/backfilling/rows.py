"""From the rows of a file to events, at the same edge as everything else: one decoder, one pseudonym.

A row that can never be an event is no dead letter. Its owner has the file at hand, so it goes to a list of
line numbers and reasons beside the file, without its contents.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from worker.domain.errors import Poison, Reason
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.domain.identity import Identity
from worker.local.event_files import WHOLE, FileEvent, Share, read_events

NOT_A_ROW = "not_a_row"
"""Of a CSV file: quotes that do not match, or another number of cells than the header has."""


class Edge(NamedTuple):
    """How the student ids of a file become pseudonyms, and when its rows count as arrived."""

    identity: Identity
    realm: str
    arrived_at: datetime


class Rejected(NamedTuple):
    """Why a row is no event; `field` is the name of the field at fault, never its value."""

    line: int
    reason: str
    field: str | None


class Accepted(NamedTuple):
    """A row that is an event."""

    line: int
    event: ScoreEvent


def decode(path: Path, columns: str, edge: Edge, share: Share = WHOLE) -> Iterator[Accepted | Rejected]:
    """Every row of a file, or those of one share, in its order.

    Raises:
        ColumnsError: at once, before a row is read; the columns do not give an event.
    """
    return _decoded(read_events(path, columns, share), edge, csv=".csv" in path.name.lower())


def _decoded(rows: Iterator[FileEvent], edge: Edge, *, csv: bool) -> Iterator[Accepted | Rejected]:
    for line, row in rows:
        try:
            yield Accepted(line, _event(row, edge))
        except Poison as poison:
            reason = NOT_A_ROW if csv and poison.reason is Reason.NOT_JSON else poison.reason.value
            yield Rejected(line, reason, poison.field)


def _event(row: dict[str, object] | bytes, edge: Edge) -> ScoreEvent:
    wire = native.parse(row) if isinstance(row, bytes) else native.from_fields(row)
    return native.canonical(
        wire, sealed_id=None, identity=edge.identity, realm=edge.realm, arrived_at=edge.arrived_at
    )
