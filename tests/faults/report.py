"""`python -m tests.faults.report`: the drills' JSON files as the table in docs/drills.md.

Several files are joined, the last word on a drill counts: some drills are best measured on a quiet
machine and by themselves.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.faults.__main__ import Result
from tests.faults.drills import DRILLS
from worker.domain.accounting import Outcome

HEAD = """# Drills

Every failure below is caused at load, on the real KCL daemon, PostgreSQL and Valkey, and ends with a proof:
the accounting closes, the ledger is the last writer of everything sent, Redis is a rebuild of the ledger.
*Pause* is the longest time that any shard committed nothing, *recovered* the time from the fault until the
load was caught up with. The times of 7, 14, 15, 17 to 19, 21 and 22 hold the outage itself, up to 60 seconds.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page; 0 done, 1 a proof was bad, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.report", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="what `python -m tests.faults --json` wrote")
    parser.add_argument("--commit", required=True, help="what was measured")
    parser.add_argument("--note", default="", help="what else a reader should know of the machine")
    arguments = parser.parse_args(argv)
    found: dict[int, Result] = {}
    for file in arguments.files:
        for result in msgspec.json.decode(file.read_bytes(), type=list[Result]):
            found[result.number] = result
    results = [found[number] for number in sorted(found)]
    print(page(results, arguments.commit, arguments.note), end="")
    return 1 if any(result.bad for result in results) else 0


def page(results: Sequence[Result], commit: str, note: str) -> str:
    """The whole page as Markdown."""
    today = datetime.now(UTC).date().isoformat()
    goals = {drill.number: drill.goal_seconds for drill in DRILLS}
    lines = [
        HEAD,
        f"`make faults`, {today}, commit {commit}. {note}".strip(),
        "",
        "| # | drill | events/s | sent | lost | double | pause | goal | recovered | redelivered | proof |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
        *(_line(result, goals.get(result.number)) for result in results),
        "",
    ]
    return "\n".join(lines)


def _line(result: Result, goal: float | None) -> str:
    proof = result.proof
    if proof is None:
        cells = ["-"] * 8 + [f"not run: {result.not_run}"]
    else:
        recovered = result.recovered_after
        cells = [
            f"{result.per_second:,.0f}",
            f"{proof.sent:,}",
            str(proof.lost),
            str(proof.double),
            f"{result.longest_pause:.1f} s",
            "" if goal is None else f"{goal:.0f} s",
            "-" if recovered is None else f"{recovered:.1f} s",
            f"{proof.accounting[Outcome.REDELIVERED]:,}",
            "good" if proof.good else "BAD",
        ]
    return f"| {result.number} | {result.name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
