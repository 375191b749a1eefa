"""A script from its arguments to its exit code.

Exit codes: 0 done, 1 failed or a verdict does not hold, 2 wrong arguments or settings, 130 interrupted.
"""

import argparse
import dataclasses
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.frame.collecting import collecting_rarely
from scripts.frame.report import Report
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from worker import logs
from worker.domain.errors import Fatal, Unavailable
from worker.product_metrics import tell_end
from worker.settings import STATE_DIR, Settings, SettingsError, load

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


class WrongArguments(Exception):
    """The arguments cannot be meant; the text says what to do."""


class Refused(Exception):
    """The script does not do this, for a reason that the text names with what to do instead."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run is given beside its own arguments.

    `settings` are those of the environment; a script that needs none is never asked for them.
    """

    show: Show
    report: Report
    stopping: Stopping
    dry_run: bool
    settings: Callable[[], Settings]


Work = Callable[[Run, argparse.Namespace], None]


@dataclasses.dataclass(frozen=True)
class Script:
    """What makes a script.

    Args:
        name: as in `python -m scripts.NAME`.
        summary: one sentence.
        examples: whole command lines, shown by `--help`.
        arguments: adds the script's own to the parser.
        work: does it; raises WrongArguments, Refused, or what the ports raise.
        nightly: on AWS it runs every night, and an alarm waits for a run that is done.
    """

    name: str
    summary: str
    examples: Sequence[str]
    arguments: Callable[[argparse.ArgumentParser], None]
    work: Work
    nightly: bool = False


def execute(
    script: Script,
    argv: Sequence[str] | None = None,
    *,
    show: Show | None = None,
    stopping: Stopping | None = None,
) -> int:
    """Run a script; its exit code. A report is written however the run ends."""
    parser = _parser(script)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    logs.configure("WARNING")
    show, stopping = show or Show(), stopping or Stopping()
    dry_run = bool(arguments.dry_run)
    report = Report(script.name, datetime.now(UTC), dry_run=dry_run)
    run = Run(show, report, stopping, dry_run, lambda: load(os.environ))
    with collecting_rarely(), stopping.listening():
        code = _attempt(script, run, arguments)
    if code != WRONG:
        show.summary(f"{script.name}{' (dry run: nothing was changed)' if dry_run else ''}", report)
        code = _write(report, arguments.report, code, show)
        if script.nightly and not dry_run and run.settings().mode == "aws":
            tell_end(run.settings().application_name, script.name, done=code == DONE, now=time.time)
    return code


def _attempt(script: Script, run: Run, arguments: argparse.Namespace) -> int:
    try:
        script.work(run, arguments)
    except KeyboardInterrupt:
        run.show.say("broken off; run the same command again to go on")
        return INTERRUPTED
    except (SettingsError, WrongArguments, Refused, Unavailable, Fatal, OSError) as error:
        code, told = _told(error)
        run.show.say(f"{script.name}: {told}")
        return code
    except Exception:  # nobody foresaw it: told as it is, and the report says as far as it came
        traceback.print_exc()
        return FAILED
    if run.stopping.asked:
        run.show.say("interrupted; run the same command again to go on")
        return INTERRUPTED
    return DONE if run.report.good else FAILED


def _told(error: Exception) -> tuple[int, str]:
    """What an end that was foreseen means, and what to do about it."""
    text = str(error) or " ".join((error.__doc__ or "").split())
    match error:
        case SettingsError():
            return WRONG, text
        case WrongArguments():
            return WRONG, f"{text}; see --help"
        case Refused():
            return FAILED, f"refused: {text}"
        case Unavailable():
            return FAILED, f"{text}; `python -m worker check` looks at every dependency"
        case _:
            return FAILED, text


def _write(report: Report, path: Path, code: int, show: Show) -> int:
    try:
        report.write(path, datetime.now(UTC), code)
    except OSError as error:
        show.say(f"the report could not be written to {path}: {error.strerror}; name another with --report")
        return code or FAILED
    show.say(f"report: {path}")
    return code


def _parser(script: Script) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{Path(sys.executable).name} -m scripts.{script.name}",
        description=script.summary,
        epilog="examples:\n" + textwrap.indent("\n".join(script.examples), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    script.arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say exactly what would change, change nothing"
    )
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        default=Path(os.environ.get("STATE_DIR") or STATE_DIR) / "reports" / f"{script.name}-{stamp}.json",
        help="where the report goes as JSON (default: in the state folder)",
    )
    return parser
