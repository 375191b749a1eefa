"""Memory in huge pages for PostgreSQL's buffers, as RDS and Aurora have them by default.

In pages of 4 KiB a ledger of gigabytes costs more an event than a small one for its addresses alone: the
processor remembers some thousands of pages, and looks all others up. Linux must be told to keep large ones,
which takes root; where it does not, small ones are measured, and the figures say so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_COUNT = Path("/proc/sys/vm/nr_hugepages")
_MEMORY = Path("/proc/meminfo")


@contextmanager
def kept(
    mebibytes: int, say: Callable[[str], None], count: Path = _COUNT, memory: Path = _MEMORY
) -> Iterator[bool]:
    """Keeps so much memory in huge pages until the end; whether there is as much."""
    try:
        before = int(count.read_text())
        wanted = before - (-mebibytes * 1024 // _kibibytes(memory.read_text()))
        count.write_text(str(wanted))
    except (OSError, LookupError) as reason:
        say(f"no huge pages: {reason}")
        yield False
        return
    try:
        got = int(count.read_text())
        if got < wanted:
            say(f"no huge pages: {got} of {wanted} to be had")
            count.write_text(str(before))
        yield got >= wanted
    finally:
        count.write_text(str(before))


def _kibibytes(memory: str) -> int:
    """Of one huge page, by `/proc/meminfo`."""
    told = dict(line.split(":", 1) for line in memory.splitlines())
    return int(told["Hugepagesize"].split()[0])
