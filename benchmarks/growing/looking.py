"""Every statement of the way of an event, looked at with the batches that bring it, at every size.

Not only the usual batch: a replay's, of which every event is known, a rebuild's page of states, a sweep's of
students, and the usual one again once 50,000 students have been erased and every course has a horizon.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from benchmarks.growing.batches import repeated
from benchmarks.growing.measuring import Subject
from benchmarks.growing.plans import Explained
from benchmarks.growing.yard import Yard

ERASED = 50_000
_KEYS = 1_000

Step = Callable[[], object]


def looked_at(
    yard: Yard, steps: Sequence[int], say: Callable[[str], None]
) -> tuple[Mapping[str, object], list[str]]:
    """By size, kind of batch and statement: pages and milliseconds of one run; and the plans that are bad."""
    told: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    bad: list[str] = []
    for rows in steps:
        say(f"{rows:>11,} rows: the statements' plans")
        with Subject(yard, yard.ledgers(rows)[0], 8) as subject:
            subject.warm()
            kinds = _looked_at(subject)
        told[str(rows)] = {kind: summed(found) for kind, found in kinds.items()}
        bad += [
            f"{one.name} reads all of {read.table} ({kind} batch, {rows:,} rows)"
            for kind, found in kinds.items()
            for one in found
            for read in one.whole
        ]
    return told, sorted(set(bad))


def _looked_at(subject: Subject) -> dict[str, list[Explained]]:
    taken = subject.batches.take(3)
    subject.pipeline.take(taken)
    replay = repeated(taken)
    keys = replay.keys[:_KEYS]
    steps: dict[str, Step] = {
        "usual": lambda: subject.pipeline.take(subject.batches.take(1)),
        "replay": lambda: subject.ledger.commit(subject.ledger.intern(replay)),
        "rebuild": lambda: subject.ledger.read(keys),
        "sweep": lambda: subject.ledger.states_of([key.student_key for key in keys]),
        "erased": lambda: subject.pipeline.take(subject.batches.take(1)),
    }
    kinds: dict[str, list[Explained]] = {}
    found = subject.ledger.explained()
    for kind, step in steps.items():
        if kind == "erased":
            _erase(subject)
        found.clear()
        step()
        kinds[kind] = list(found)
    subject.watch.execute("TRUNCATE erasures, horizons")
    subject.watch.execute("VACUUM (ANALYZE) erasures, horizons")
    return kinds


def _erase(subject: Subject) -> None:
    """Tombstones of up to 50,000 students, at most a quarter of all, and a horizon before every course."""
    subject.watch.execute(
        "INSERT INTO erasures (student_ref, courses) SELECT student_ref, '{}' FROM students "
        "ORDER BY hashint4(student_ref) LIMIT least(%s, (SELECT count(*) / 4 FROM students))",
        [ERASED],
    )
    subject.watch.execute("INSERT INTO horizons SELECT course_ref, '2020-01-01Z' FROM courses")
    subject.watch.execute("VACUUM (ANALYZE) erasures, horizons")


def summed(found: Sequence[Explained]) -> dict[str, dict[str, float]]:
    """What all runs of each statement took together."""
    by_name: dict[str, list[Explained]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    return {
        name: {
            "runs": len(runs),
            "pages": sum(run.pages for run in runs),
            "wal_bytes": sum(run.wal_bytes for run in runs),
            "ms": round(sum(run.planning_ms + run.execution_ms for run in runs), 2),
        }
        for name, runs in by_name.items()
    }
