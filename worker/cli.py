"""`python -m worker`: one verb a process role. Exit codes: 0 done, 1 failed, 2 wrong settings."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from worker import __version__, logs
from worker.domain.errors import Fatal, Unavailable
from worker.settings import Settings, SettingsError, load

FAILED, WRONG, INTERRUPTED = 1, 2, 130
_ROLES = ("student", "teacher", "official", "analyst", "operator", "producer")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code."""
    arguments = _parser().parse_args(argv)
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    try:
        return verb(arguments)
    except SettingsError as error:
        print(f"{error}\nset them in the environment and start again", file=sys.stderr)
        return WRONG
    except (Fatal, Unavailable) as error:
        print(f"failed: {str(error) or error.__doc__}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (RuntimeError, ValueError) as error:
        if not (getattr(arguments, "directory", None) or verb is archive):
            raise
        print(f"failed: {error}", file=sys.stderr)  # of the local stack, a file or Java: told in sentences
        return FAILED


def entry() -> None:
    """The console script."""
    raise SystemExit(main())


def daemon(_: argparse.Namespace) -> int:
    from worker import wiring_daemon

    settings = _settings(role="daemon")
    return wiring_daemon.run(settings, os.environ)


def shard(_: argparse.Namespace) -> int:
    from worker.kcl.shard import run
    from worker.kcl.warming import Processor, Warming

    settings = _settings(role="shard")

    def make() -> Processor:
        from worker import wiring  # takes most of the start

        return wiring.shard_processor(settings)

    return run(Warming(make))


def api(_: argparse.Namespace) -> int:
    from worker import wiring_api
    from worker.settings import load_api

    settings = load_api(os.environ)
    logs.configure(settings.log_level, role="api")
    return wiring_api.run(settings)


def token(arguments: argparse.Namespace) -> int:
    from worker.issuing import issue
    from worker.settings import load_api

    print(
        issue(
            load_api(os.environ),
            subject=arguments.subject,
            roles=arguments.role,
            courses=arguments.course,
            student_id=arguments.student_id,
            hours=arguments.hours,
        )
    )
    return 0


def migrate(_: argparse.Namespace) -> int:
    from worker import wiring

    applied = wiring.migrate(_settings(role="migrate"))
    print("\n".join([f"applied {name}" for name in applied] or ["nothing to apply"]))
    return 0


def check(_: argparse.Namespace) -> int:
    from worker.check import report
    from worker.settings import load_api

    read = load_api if os.environ.get("TOKEN_ISSUER") else load
    settings = read(os.environ)
    logs.configure(settings.log_level, role="check")
    return report(settings, print)


def archive(arguments: argparse.Namespace) -> int:
    from worker.kcl.archive import make

    make(os.environ.get("JAVA_BIN") or "java", arguments.file)
    print(f"{arguments.file}: {arguments.file.stat().st_size / 2**20:.0f} MiB")
    return 0


def up(arguments: argparse.Namespace) -> int:
    from worker import wiring
    from worker.local.up import run

    connect = (lambda environment: wiring.edges(load(environment))) if arguments.scores else None
    return run(Path(arguments.directory), connect)


def demo(arguments: argparse.Namespace) -> int:
    from worker import wiring
    from worker.local.demo import run
    from worker.local.showing import Show

    show = Show()
    directory = Path(arguments.directory)
    summary = run(
        directory,
        lambda environment: wiring.edges(load(environment)),
        show,
        events_file=arguments.events,
        columns=arguments.columns,
        live_seconds=arguments.live_seconds,
    )
    written = directory / "summary.json"
    written.write_bytes(summary.as_json())
    show.summary(summary)
    show.say(f"the same as JSON: {written}")
    return 0 if summary.good else FAILED


def clean(arguments: argparse.Namespace) -> int:
    from worker.local.session import Session

    Session(Path(arguments.directory)).remove()
    return 0


def _settings(role: str) -> Settings:
    settings = load(os.environ)
    logs.configure(settings.log_level, role=role)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Real-time student analytics on Kinesis."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(metavar="verb", required=True)
    for verb, says in (
        (daemon, "supervise the KCL daemon: the process of a worker task"),
        (shard, "serve one shard over stdin and stdout; started by the KCL daemon"),
        (api, "serve POST /students, GET /metrics and the page"),
        (migrate, "bring the ledger's schema up to date; safe to run twice and at once"),
        (check, "check every setting and dependency, and say what to do"),
    ):
        verbs.add_parser(verb.__name__, help=says, description=says).set_defaults(verb=verb)
    _add_archive(verbs)
    _add_token(verbs)
    _add_local(verbs)
    return parser


def _add_archive(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    says = "write the daemon's classes as a file that makes its start faster; see JAVA_ARCHIVE"
    parser = verbs.add_parser("archive", help=says, description=says)
    parser.add_argument("file", type=Path, help="for this Java and these jars alone")
    parser.set_defaults(verb=archive)


def _add_token(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    says = "print a token for the local stack's API; refuses outside local mode"
    parser = verbs.add_parser("token", help=says, description=says)
    parser.add_argument("subject", help="who it is for, e.g. ms-frizzle; never a student id")
    parser.add_argument("--role", action="append", required=True, choices=_ROLES, help="may be repeated")
    parser.add_argument("--course", action="append", default=[], help="a teacher's course; may be repeated")
    parser.add_argument("--student-id", help="a student's own id")
    parser.add_argument("--hours", type=float, default=12, help="how long it holds (default: %(default)s)")
    parser.set_defaults(verb=token)


def _add_local(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    says = "the whole product on this machine: demo, up, clean"
    local = verbs.add_parser("local", help=says, description=says).add_subparsers(
        metavar="action", required=True
    )
    for action, explained in (
        (demo, "send real scores through everything and prove the result"),
        (up, "run until Ctrl-C, and print where everything listens"),
        (clean, "stop nothing, delete the local state"),
    ):
        parser = local.add_parser(action.__name__, help=explained, description=explained)
        parser.add_argument("--directory", default=".local", help="the state folder (default: %(default)s)")
        parser.set_defaults(verb=action)
        if action is up:
            parser.add_argument("--scores", action="store_true", help="send real scores all the while")
        if action is demo:
            parser.add_argument(
                "--events", type=Path, help="a .csv, .csv.gz or .ndjson file (default: Project STAR)"
            )
            parser.add_argument(
                "--columns",
                default="",
                help="maps the file's columns, e.g. student_id=id_student,max_score=100",
            )
            parser.add_argument(
                "--live-seconds",
                type=int,
                default=20,
                help="paced attempts afterwards (default: %(default)s)",
            )
