"""`python -m benchmarks.memory`: what a worker task and the states in Redis take of memory (P4).

The task: supervisor, the real KCL daemon and two shard processes, held to half a core and 1 GiB, at a steady
rate for so many minutes; their resident memory every few seconds. The states: real scores brought in by the
backfill and measured one by one, full rings, and 100,000 students in 3 courses written into an empty server.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson
import redis

from benchmarks import states
from benchmarks.classroom import Classroom
from benchmarks.footprint import Footprint, watched
from benchmarks.result import Goal, keep
from benchmarks.staging import backfill, say, stack
from benchmarks.states import Sizes
from scripts.loading.cgroups import NotLimited
from tests.faults.memory import FLAT
from worker import wiring
from worker.adapters.redis import RedisProjection
from worker.local.process import StackError, reserved_port
from worker.local.star import star_events
from worker.local.valkey import Valkey
from worker.settings import load

TASK_MB, STATE_B, ALL_MB = 600.0, 350.0, 200.0
STUDENTS, COURSES = 100_000, 3
_FULL = 2_000
_SLACK = 0.99
"""So much of the rate counts as all of it: the first and the last put are not whole ones."""
_TTL_SECONDS = 120 * 86_400
_OULAD_COLUMNS = (
    "student_id=id_student, course_id={code_module}-{code_presentation}, item_id=id_assessment,"
    "max_score=100, occurred_at={presentation_start}+{submitted_day}d"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and keep; 0 when every goal is met, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="of the steady rate (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="events a second (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a look: 90 seconds, and fewer students")
    parser.add_argument("--only", choices=("task", "states"), help="one half; nothing is kept then")
    parser.add_argument(
        "--oulad",
        type=Path,
        default=os.environ.get("OULAD_SCORES"),
        help="the Open University's scores.csv.gz, measured beside Project STAR (default: OULAD_SCORES)",
    )
    arguments = parser.parse_args(argv)
    students, minutes = (5_000, 1.5) if arguments.quick else (STUDENTS, arguments.minutes)
    goals: list[Goal] = []
    figures: dict[str, object] = {}
    try:
        if arguments.only != "task":
            real = _real(arguments.oulad)
            crowds = {"typical": _crowd(states.typical, students), "full": _crowd(states.full, students)}
            goals += _goals_of_states(real, crowds["typical"])
            figures |= {"states": {name: sizes.figures for name, sizes in real.items()}, "redis": crowds}
        if arguments.only != "states":
            found = watched(minutes, arguments.rate)
            goals += _goals_of_task(found, arguments.rate)
            figures["task"] = found.figures
    except (NotLimited, StackError) as reason:
        say(str(reason))
        return 1
    for goal in goals:
        kept = "yes" if goal.met else "NO "
        say(f"{kept}  {goal.what}: {goal.value:,} {goal.unit} (goal {goal.limit:,.0f})")
    if arguments.only is None:
        command = " ".join(["python -m benchmarks.memory", *(sys.argv[1:] if argv is None else argv)])
        say(f"kept in {keep('memory', command, goals, figures)}")
    return 0 if all(goal.met for goal in goals) else 1


def _real(oulad: Path | None) -> dict[str, Sizes]:
    """Of each set of scores, what its states take; brought in as an operator would."""
    found: dict[str, Sizes] = {}
    with stack(lambda _line: None) as session, closing(wiring.edges(load(session.environment))) as edges:
        client = redis.Redis.from_url(session.stack.endpoints.redis_url)
        room = Classroom(_FULL, 20, identity=edges.identity, realm=edges.realm, now=wiring.now())
        star, full = session.directory / "star.ndjson", session.directory / "full.csv"
        star.write_bytes(b"\n".join(map(orjson.dumps, star_events())))
        room.write_history(full)
        files: list[tuple[str, Path, str]] = [("star", star, ""), ("full", full, "")]
        if oulad is not None:
            files.append(("oulad", oulad, _OULAD_COLUMNS))
        known: set[bytes] = set()
        for name, path, columns in files:
            say(f"states of {name}: bringing in {path.name}")
            backfill(session, path, columns)
            new = states.names(client) - known
            known |= new
            found[name] = states.sizes(client, new)
            say(f"states of {name}: {found[name].mean:,.0f} B on average of {len(new):,}")
        client.close()
    return found


def _crowd(made: states.Maker, students: int) -> dict[str, float]:
    """So many students in 3 courses on a server of their own: what it uses before and after."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder, reserved_port() as port:
        server = Valkey(Path(folder) / "valkey", Path(folder) / "valkey.log", port=port)
        server.start()
        client = redis.Redis.from_url(server.url)
        projection = RedisProjection(lambda: server.url, 1, _TTL_SECONDS)
        try:
            before = states.used(client)
            say(f"writing {students * COURSES:,} states into an empty server")
            held = states.install(projection, made(students, COURSES))
            after = states.used(client)
        finally:
            projection.close()
            client.close()
            server.stop()
    say(f"{held:,} states: {after / 1e6:,.1f} MB used")
    return {
        "students": students,
        "states": held,
        "before_MB": round(before / 1e6, 1),
        "used_MB": round(after / 1e6, 1),
        "a_state_B": round((after - before) / held, 1),
    }


def _goals_of_states(real: dict[str, Sizes], typical: dict[str, float]) -> list[Goal]:
    name = "oulad" if "oulad" in real else "star"
    sizes, mean, taken = real[name], round(real[name].mean, 1), typical["used_MB"]
    about = f"{name.upper()}, {sizes.states:,} states"
    around = f"memory: {sizes.value_mean:.0f} B of value, the rest is key, table and expiry"
    whole = f"{typical['students']:,} students in {COURSES} courses, all that the server uses"
    each = f"memory: {typical['a_state_B']:,.0f} B a state"
    return [
        Goal(
            "P4",
            f"a state of real scores ({about}), mean MEMORY USAGE",
            mean,
            STATE_B,
            "B",
            False,
            "" if mean <= STATE_B else around,
        ),
        Goal("P4", whole, taken, ALL_MB, "MB", False, "" if taken <= ALL_MB else each),
    ]


def _goals_of_task(found: Footprint, wanted: int) -> list[Goal]:
    growth, most, rate = round(100 * found.growth, 1), round(found.most_mb, 1), round(found.rate)
    least = round(_SLACK * wanted)
    what = f"a worker task with 2 shards at {found.rate:,.0f} events/s, {found.limits}"
    return [
        Goal(
            "P4",
            f"{what}: resident memory at its highest",
            most,
            TASK_MB,
            "MB",
            False,
            "" if most <= TASK_MB else found.binds,
        ),
        Goal(
            "P4",
            f"{what}: growth of the last third of {found.minutes:.0f} min over the first",
            growth,
            100 * FLAT,
            "%",
            False,
            "" if growth <= 100 * FLAT else found.binds,
        ),
        Goal(
            "P4",
            f"events taken meanwhile, of {wanted:,} a second",
            rate,
            least,
            "events/s",
            True,
            "" if rate >= least else f"the load was late by {found.late_seconds:.0f} s",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
