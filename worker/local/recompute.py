"""Score definition `v1` a second time, from the events as sent, to check the first.

The worker folds attempts into small binary states as they arrive. Whether those states are right can only
be told by something that shares none of its code: this module imports nothing of the worker, takes all
events at once, decides every attempt's last writer by sorting, and computes with pandas and plain floats.
`docs/scores.md` is the text that both were written from. The two agree within a millionth, which is what
the worker's rounding of each ratio to whole millionths may cost; nothing is rounded here.
"""

import re
from array import array
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from math import isfinite, isnan, nan
from struct import pack
from typing import Any, NamedTuple

Pair = tuple[str, str]
"""A student and a course: (student_id, course_id)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000_000  # in microseconds
_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<clock>\d\d:\d\d:\d\d)(\.(?P<digits>\d+))?"
    r"(?P<zone>[Zz]|[+-]\d\d:?\d\d)",
    re.ASCII,
)
_RING = 20
_ALPHA = 0.35
_ABOVE_ONE = 1 + 0.5e-6  # "above 1" is decided on whole millionths; 3.3000000000000003 of 3.3 is 1


_ORDER = ("pair", "key", "graded", "voided", "event", "digest")


class _Invalid(Exception):
    """The stream refuses this event, so that it counts nowhere."""


class _Write(NamedTuple):
    """One event's write to its register; times in microseconds since 1970, no score is NaN."""

    pair: int
    key: int
    graded: int
    voided: bool
    event: int
    digest: int
    occurred: int
    score: float
    max_score: float


_COLUMNS = dict(zip(_Write._fields, "qqqbqqqdd", strict=True))
"""Their types as arrays: of millions of events 72 bytes each may be held, and not objects."""


def recompute(
    events: Iterable[Mapping[str, object]], as_of: datetime, *, arrived_by: datetime | None = None
) -> dict[Pair, dict[str, object]]:
    """Compute every output of definition `v1` from native events, in whatever order they come.

    Events that the stream refuses as bad data are left out here too, by the rules of the native event.

    Args:
        events: the events sent, with `student_id`; duplicates, regrades and voids included.
        as_of: an aware moment; its UTC date is the last day of the 7 and of the 30 days.
        arrived_by: when the last event had arrived, if the limit on times in the future is to hold (more
            than 5 minutes after arrival is refused); aware.

    Returns:
        For each pair of an accepted event its outputs: counts as int, ratios as float, None where there is
        no basis, `last_activity_at` as aware UTC datetime. A pair whose attempts are all voided is there
        too, with zeros.

    Raises:
        ValueError: `as_of` is naive.
        ImportError: the extra `demo` is not installed.
    """
    import pandas as pd

    if as_of.tzinfo is None:
        raise ValueError("as_of must be aware")
    latest_allowed = None if arrived_by is None else _micros(arrived_by + timedelta(minutes=5))
    pairs: dict[Pair, int] = {}
    writes = _writes(events, pairs, latest_allowed)
    if not writes["pair"]:
        return {}

    attempts = _standing(writes)
    del writes  # millions of events are held once at a time
    ratio = (attempts["score"] / attempts["max_score"]).where(attempts["max_score"] > 0)
    scored = attempts.assign(ratio=ratio)[ratio.notna()]

    by_pair = scored.groupby("pair")["ratio"]
    ring = scored.groupby("pair").tail(_RING)
    in_ring = ring.groupby("pair")["ratio"]
    size = in_ring.transform("size")
    centred = in_ring.cumcount() - (size - 1) / 2
    slope_part = (centred * ring["ratio"] * 12 / (size * (size * size - 1))).where(size >= 3)

    def last_days(days: int) -> object:
        today = (as_of.astimezone(UTC).date() - date(1970, 1, 1)).days
        day = scored["occurred"] // _DAY
        return scored[(day > today - days) & (day <= today)].groupby("pair")["ratio"].mean()

    columns = {
        "attempts_total": attempts.groupby("pair").size(),
        "attempts_scored": by_pair.size(),
        "attempts_window": in_ring.size(),
        "mean_last_n": in_ring.mean(),
        "latest": in_ring.last(),
        "best": by_pair.max(),
        "ewma": in_ring.ewm(alpha=_ALPHA, adjust=False).mean().groupby("pair").last(),
        "trend": slope_part.groupby(ring["pair"]).sum(min_count=1),
        "mean_last_7d": last_days(7),
        "mean_last_30d": last_days(30),
    }
    table = pd.DataFrame(columns, index=range(len(pairs))).astype("float64")
    values = [[None if isnan(v) else v for v in row] for row in table.to_numpy().tolist()]
    last = attempts.groupby("pair")["occurred"].max().to_dict()
    return {
        pair: _outputs(dict(zip(columns, values[i], strict=True)), last.get(i)) for pair, i in pairs.items()
    }


def _standing(writes: "Mapping[str, array[Any]]") -> Any:
    """The attempts that stand, as a table by pair and time.

    The register rule: of all writes to one attempt the highest by `_ORDER` is the last one standing.
    """
    import numpy as np
    import pandas as pd

    columns = {name: np.asarray(column) for name, column in writes.items()}
    in_order = np.lexsort([columns[name] for name in reversed(_ORDER)])
    pair, key = columns["pair"][in_order], columns["key"][in_order]
    last = in_order[np.append((pair[1:] != pair[:-1]) | (key[1:] != key[:-1]), True)]
    standing = last[columns["voided"][last] == 0]
    kept = ("pair", "key", "occurred", "score", "max_score")
    table = pd.DataFrame({name: columns[name][standing] for name in kept})
    return table.sort_values(["pair", "occurred", "key"])


def attempt_key(event: Mapping[str, object]) -> tuple[int, int]:
    """(attempt_key, attempt_check) of a valid native event: the signed halves of 16 bytes of BLAKE2b."""
    if event.get("attempt") is not None:
        name = f"a:{event['attempt']}"
    elif event.get("event_id") is not None:
        name = f"e:{event['event_id']}"
    else:
        name = f"t:{_moment(event['occurred_at'])}"
    hashed = blake2b(digest_size=16)
    for part in (str(event.get("source", "default")), str(event["item_id"]), name):
        encoded = part.encode()
        hashed.update(len(encoded).to_bytes(4, "big") + encoded)
    digest = hashed.digest()
    return int.from_bytes(digest[:8], "big", signed=True), int.from_bytes(digest[8:], "big", signed=True)


def _outputs(row: Mapping[str, float | None], last_activity: int | None) -> dict[str, object]:
    outputs: dict[str, object] = dict(row)
    for name in ("attempts_total", "attempts_scored", "attempts_window"):
        outputs[name] = int(row[name] or 0)
    outputs["last_activity_at"] = None if last_activity is None else _EPOCH + last_activity * _MICROSECOND
    outputs["provisional"] = (row["attempts_scored"] or 0) < 3
    outputs["over_max"] = row["best"] is not None and row["best"] > _ABOVE_ONE
    return outputs


def _writes(
    events: Iterable[Mapping[str, object]], pairs: dict[Pair, int], latest_allowed: int | None
) -> dict[str, "array[Any]"]:
    columns: dict[str, array[Any]] = {name: array(kind) for name, kind in _COLUMNS.items()}
    event_ids: dict[str, int] = {}
    for event in events:
        try:
            write = _write(event, pairs, event_ids, latest_allowed)
        except _Invalid:
            continue
        for column, value in zip(columns.values(), write, strict=True):
            column.append(value)
    # Text is ordered by its UTF-8 bytes, which is the order of code points and so of Python's str.
    rank = {event_ids[event_id]: i for i, event_id in enumerate(sorted(event_ids))}
    columns["event"] = array("q", map(rank.__getitem__, columns["event"]))
    return columns


def _write(
    event: Mapping[str, object],
    pairs: dict[Pair, int],
    event_ids: dict[str, int],
    latest_allowed: int | None,
) -> _Write:
    student, course = _identifier(event.get("student_id")), _identifier(event.get("course_id"))
    _identifier(event.get("item_id"))
    _identifier(event.get("source", "default"))
    attempt, event_id = event.get("attempt"), event.get("event_id")
    if event_id is not None:
        _identifier(event_id)
    if attempt is not None and (type(attempt) is not int or not 0 <= attempt < 2**63):
        raise _Invalid
    occurred = _moment(event.get("occurred_at"))
    graded = occurred if event.get("graded_at") is None else _moment(event["graded_at"])
    if min(occurred, graded) < 0 or (latest_allowed is not None and max(occurred, graded) > latest_allowed):
        raise _Invalid
    kind = event.get("kind", "scored")
    if kind not in ("scored", "voided"):
        raise _Invalid
    score, max_score = _scores(event, voided=kind == "voided")
    content = pack(">B?dBdq", 1, score is not None, score or 0.0, kind == "voided", max_score, occurred)
    digest = int.from_bytes(blake2b(content, digest_size=16).digest()[:8], "big") - 2**63  # fits, keeps order
    pair = pairs.setdefault((student, course), len(pairs))
    key = attempt_key(event)[0]
    name = event_ids.setdefault(str(event_id or ""), len(event_ids))
    number = nan if score is None else score
    return _Write(pair, key, graded, kind == "voided", name, digest, occurred, number, max_score)


def _scores(event: Mapping[str, object], *, voided: bool) -> tuple[float | None, float]:
    score = None if event.get("score") is None else _number(event["score"], -1e6)
    if "max_score" in event or not voided:
        max_score = _number(event.get("max_score"), 0)
    if voided:
        return None, 0.0
    if "score" not in event or (score is not None and abs(score) > 1000 * max_score > 0):
        raise _Invalid
    return score, max_score


def _number(value: object, lowest: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Invalid
    if not isfinite(value) or not lowest <= value <= 1e6:
        raise _Invalid
    return float(value)


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or "\0" in value:
        raise _Invalid
    return value


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(value: object) -> int:
    if not isinstance(value, str):
        raise _Invalid
    return _micros_of(value)


@lru_cache(maxsize=1 << 16)
def _micros_of(text: str) -> int:
    parts = _TIME.fullmatch(text)
    if parts is None:
        raise _Invalid
    try:
        whole = datetime.fromisoformat(f"{parts['day']}T{parts['clock']}{parts['zone'].upper()}")
    except ValueError:
        raise _Invalid from None
    return _micros(whole) + (int(f"{parts['digits'] or '':0<7}"[:7]) + 5) // 10
