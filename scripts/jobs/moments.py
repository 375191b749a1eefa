"""Times as an operator writes them: always with their offset, so that a command means the same tomorrow."""

import argparse
from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """Read a moment such as `2026-03-02T09:30:00Z`; UTC.

    Raises:
        ArgumentTypeError: it is none, or has no offset.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        msg = f"{text!r} is no moment; write one with its offset, such as 2026-03-02T09:30:00Z"
        raise argparse.ArgumentTypeError(msg)
    return found.astimezone(UTC)


def written(moment: datetime) -> str:
    """A moment as it is read again."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
