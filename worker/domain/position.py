"""Where a record stands in its source, compared as integers.

Sequence numbers are decimal texts of up to 56 digits: as text '9' sorts after '10', as a double they lose
digits, as a 64-bit integer they overflow. Python's integers do neither.
"""

from typing import NamedTuple

WHOLE = 2**31
"""`Position.events` of a record that is done as a whole: more than any record carries."""


class Position(NamedTuple):
    """A place in a source: the sequence number, and the sub-sequence number inside a KPL aggregate.

    Only Redis' marker may stand inside a record that was cut into parts: `events` of it are done then.
    """

    sequence: int
    sub_sequence: int = 0
    events: int = WHOLE

    def __str__(self) -> str:
        whole = f"{self.sequence}:{self.sub_sequence}"
        return whole if self.events == WHOLE else f"{whole}:{self.events}"


ORIGIN = Position(-1, -1)
"""Before the first record of any source."""


def parse(text: str) -> Position:
    """Read what `str(position)` wrote.

    Raises:
        ValueError: the text is neither `digits:digits` nor `digits:digits:digits`.
    """
    sequence, _, rest = text.partition(":")
    sub_sequence, inside, events = rest.partition(":")
    return Position(int(sequence), int(sub_sequence), int(events) if inside else WHOLE)


def from_checkpoint(sequence_number: str | None, sub_sequence_number: int | None) -> Position | None:
    """The position of a KCL checkpoint, or None for its words (TRIM_HORIZON, LATEST, AT_TIMESTAMP)."""
    if sequence_number is None or not sequence_number.isdecimal():
        return None
    return Position(int(sequence_number), sub_sequence_number or 0)
