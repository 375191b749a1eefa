"""What the final script shall do with each state: assert, fold, rebuild or delete.

A state may be folded only when what was loaded is exactly the version before this transaction's; everything
else is rebuilt from the ledger, which is always right and only slower.
"""

from collections.abc import Mapping, Sequence

from worker.batch import StateKey
from worker.domain import window
from worker.domain.window import HEADER_SIZE, header
from worker.ports import LedgerState, Loaded, Touched, Write


def fold(touched: Touched, value: bytes | None, claim: bytes) -> Write | None:
    """The write of one state without asking the ledger, or None where it must be rebuilt.

    `value` is the state loaded before the transaction, None where `claim` was set instead.
    """
    key, version = touched.key, touched.version
    expected = claim if value is None else value[:HEADER_SIZE]
    if version is None:
        return Write(key, expected, b"")
    now = header(version)
    if expected == now:
        return Write(key, expected, None)
    inserts = touched.inserts
    if not touched.bumped or inserts is None:
        return None
    birth, number = version
    if value is None:
        content = window.EMPTY if number == 1 else None
    else:
        content = value[HEADER_SIZE:] if expected == header((birth, number - 1)) else None
    if content is None:
        return None
    try:
        for attempt in sorted(inserts) if len(inserts) > 1 else inserts:
            content = window.fold(content, attempt)
    except (window.Ambiguous, window.UnknownFormat):
        return None
    return Write(key, expected, now + content)


def rebuilt(
    key: StateKey, value: bytes | None, claim: bytes, states: Mapping[StateKey, LedgerState]
) -> Write:
    """The write of one state from the ledger's own words."""
    expected = claim if value is None else value[:HEADER_SIZE]
    state = states.get(key)
    if state is None:
        return Write(key, expected, b"")
    if expected == header(state.version):
        return Write(key, expected, None)
    return Write(key, expected, state_value(state))


def state_value(state: LedgerState) -> bytes:
    """The bytes that Redis shall hold for this state."""
    return header(state.version) + window.rebuild(state.attempts)


def plan(
    touched: Sequence[Touched], loaded: Loaded
) -> tuple[list[Write], list[tuple[StateKey, bytes | None]]]:
    """The writes that need no ledger, and the (key, loaded value) pairs that must be rebuilt."""
    writes: list[Write] = []
    rest: list[tuple[StateKey, bytes | None]] = []
    for state, value in zip(touched, loaded.values, strict=True):
        write = fold(state, value, loaded.claim)
        if write is None:
            rest.append((state.key, value))
        else:
            writes.append(write)
    return writes, rest
