"""The product kept running on this machine until Ctrl-C, for a look around or an integration."""

import shlex
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from worker.local.edges import Edges
from worker.local.filling import Filling
from worker.local.session import STREAM, Session, Task

Connect = Callable[[Mapping[str, str]], Edges]


def run(directory: Path, connect: Connect | None = None, say: Callable[[str], None] = print) -> int:
    """Start everything, say where it listens, wait for Ctrl-C or SIGTERM, drain and stop; exit code 0.

    With `connect`, which gives the ports of an environment, real scores are sent all the while.
    """
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    with Session(directory, say) as session:
        task = session.start_task()
        while task.ports is None and task.process.running and not asked.wait(0.1):
            pass
        if asked.is_set():
            return 0
        api = session.start_api()
        filling = None if connect is None else Filling(connect(session.environment))
        _tell(session, task, say)
        _tell_tokens(session, api.url, filling, say)
        say("Ctrl-C drains, checkpoints and stops everything")
        if filling is not None:
            filling.start()
        try:
            while not asked.wait(1.0):
                for process in (task.process, api.process):
                    if not process.running:
                        say(f"{process.name} ended by itself; see {process.log}")
                        return 1
        finally:
            say("stopping")
            if filling is not None:
                filling.stop()
    return 0


def _tell(session: Session, task: Task, say: Callable[[str], None]) -> None:
    ports = task.ports or {}
    settings = session.directory / "environment.sh"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(session.environment.items())]
    settings.touch(mode=0o600)
    settings.write_text("\n".join([*lines, ""]))
    say(f"stream {STREAM!r} takes records; the worker's first lease follows in about ten seconds")
    say(f"health   http://127.0.0.1:{ports.get('health')}/healthz")
    say(f"metrics  http://127.0.0.1:{ports.get('metrics')}/metrics")
    say(f"settings source {settings}, then any verb: python -m worker check, token, ...")


def _tell_tokens(session: Session, url: str, filling: Filling | None, say: Callable[[str], None]) -> None:
    """The page as seen by several people, and the way in for events."""
    producer = session.token("producer@localhost", "--role", "producer")
    say(f"send     curl -H 'Authorization: Bearer {producer}' -H 'Content-Type: application/json' \\")
    say(f"              -d @event.json {url}/students")
    official = session.token("official@localhost", "--role", "official", "--role", "operator")
    say(f"page     for an official who is an operator too: {url}/#token={official}")
    if filling is not None:
        courses = [argument for course in filling.courses for argument in ("--course", course)]
        teacher = session.token("teacher@localhost", "--role", "teacher", *courses)
        student = session.token("student@localhost", "--role", "student", "--student-id", filling.student)
        say(f"page     for a teacher: {url}/#token={teacher}")
        say(f"page     for a student: {url}/#token={student}")
