"""`python -m scripts.load_test`: the product at a fixed rate of arrivals, measured from outside, and proven.

Open loop: an event is due whether or not the system has answered, and its latency counts from that moment.
What is reported of a run is only worth something with its proof: every distinct attempt that was sent is in
the ledger or in the dead letters, once.
"""

import argparse
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from scripts.frame.script import Run, Script, WrongArguments, execute

_TOKEN = "LOAD_TEST_TOKEN"  # noqa: S105 - the name of a variable
_STATE = Path(".local/load-test")
_PROFILES = ("steady", "ramp", "exam", "spike")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _work(run: Run, arguments: argparse.Namespace) -> None:
    _check(arguments)
    try:
        from scripts.loading import driving  # noqa: PLC0415 - `--help` needs none of it
    except ModuleNotFoundError as missing:
        msg = f"{missing.name} is not installed; run: pip install 'edu-analytics-worker[load]'"
        raise WrongArguments(msg) from None
    driving.drive(run, arguments, os.environ.get(_TOKEN, ""))


def _check(arguments: argparse.Namespace) -> None:
    """What argparse cannot say.

    Raises:
        WrongArguments: the arguments contradict one another, or ask for nothing.
    """
    least = {
        "--rate": (arguments.rate, 1),
        "--minutes": (arguments.minutes, 1 / 60),
        "--students": (arguments.students, 1),
        "--courses": (arguments.courses, 1),
        "--connections": (arguments.connections, 1),
        "--step-seconds": (arguments.step_seconds, 5),
        "--task-cpu": (arguments.task_cpu, 0),
        "--task-memory": (arguments.task_memory, 64),
        "--warm-up": (arguments.warm_up, 0),
    }
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise WrongArguments(f"{name} {value:g} is less than {lowest:.3g}")
    if not 1 <= arguments.batch <= 500:
        raise WrongArguments("--batch: the API takes 1 to 500 events a request")
    if arguments.sigv4 and (arguments.local or not arguments.http):
        raise WrongArguments("--sigv4 signs what --http URL posts to a gateway, and nothing else")
    if arguments.http and not arguments.local and not (arguments.sigv4 or os.environ.get(_TOKEN)):
        raise WrongArguments(f"--http needs a producer's token in {_TOKEN}, or --sigv4")
    if arguments.http == "" and not arguments.local:
        raise WrongArguments("--http without a URL is for --local; name the API's")


def _arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is sent")
    what.add_argument("--rate", type=float, default=1_000, help="events a second, at a profile's highest")
    what.add_argument("--minutes", type=float, default=1, help="how long (default: %(default)s)")
    what.add_argument("--profile", choices=_PROFILES, default="steady")
    what.add_argument("--students", type=int, default=100_000)
    what.add_argument("--courses", type=int, default=200)
    what.add_argument("--seed", type=int, default=1, help="where all choices come from")
    what.add_argument(
        "--run",
        default=secrets.token_hex(4),
        help="names the run's courses, `load-RUN-...` (default: a new name; runs must never meet)",
    )
    what.add_argument("--warm-up", type=float, default=10, metavar="SECONDS", help="first, at a quarter")
    where = parser.add_argument_group("what is driven")
    where.add_argument("--local", action="store_true", help="start a stack of this machine for the run alone")
    where.add_argument("--directory", type=Path, default=_STATE, help="its state (default: %(default)s)")
    where.add_argument("--task-cpu", type=float, default=0.5, help="CPU of its worker task, 0 for no limit")
    where.add_argument("--task-memory", type=int, default=1_024, help="MiB of its worker task")
    where.add_argument(
        "--http", nargs="?", const="", metavar="URL", help=f"post to the API instead; token in {_TOKEN}"
    )
    where.add_argument(
        "--sigv4", action="store_true", help="sign the posts with AWS credentials, as the gateway asks"
    )
    where.add_argument("--batch", type=int, default=250, help="events of one post (default: %(default)s)")
    where.add_argument("--connections", type=int, default=8, help="for posts (default: %(default)s)")
    where.add_argument("--metrics", nargs="*", default=[], metavar="URL", help="Prometheus of the tasks")
    where.add_argument("--drain", type=float, default=300, metavar="SECONDS", help="to catch up at the end")
    verdicts = parser.add_argument_group("what is required")
    verdicts.add_argument("--require-rate", type=float, metavar="EVENTS", help="a second")
    verdicts.add_argument("--require-p99", type=float, metavar="SECONDS", help="from put to visible")
    verdicts.add_argument("--require-loss", type=int, default=0, metavar="ATTEMPTS", help="lost or double")
    verdicts.add_argument(
        "--find-limit", action="store_true", help="then the highest rate with a p99 under 1 s"
    )
    verdicts.add_argument("--step-seconds", type=float, default=30, help="of each rate tried")
    verdicts.add_argument("--most", type=float, default=50_000, help="the highest rate to try")


SCRIPT = Script(
    name="load_test",
    summary="Send events at a fixed rate, measure until all are visible, prove that none is lost.",
    examples=(
        "python -m scripts.load_test --local --rate 2000 --minutes 0.5",
        "python -m scripts.load_test --local --http --profile exam --rate 1000",
        "python -m scripts.load_test --local --rate 5000 --minutes 10 --require-rate 5000 --require-p99 0.5",
        "LOAD_TEST_TOKEN=... python -m scripts.load_test --http https://api.example.org --rate 500",
        "python -m scripts.load_test --http https://ID.execute-api.REGION.amazonaws.com/prod --sigv4",
    ),
    arguments=_arguments,
    work=_work,
)

if __name__ == "__main__":
    raise SystemExit(main())
