"""The product kept running on this machine until Ctrl-C, for a look around or an integration."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from worker.local.session import STREAM, Session


def run(directory: Path, say: Callable[[str], None] = print) -> int:
    """Start everything, say where it listens, wait for Ctrl-C or SIGTERM, drain and stop; exit code 0."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    with Session(directory, say) as session:
        task = session.start_task()
        while task.ports is None and task.process.running and not asked.wait(0.1):
            pass
        ports = task.ports or {}
        say(f"stream {STREAM!r} takes records; the worker's first lease follows in about ten seconds")
        say(f"health   http://127.0.0.1:{ports.get('health')}/healthz")
        say(f"metrics  http://127.0.0.1:{ports.get('metrics')}/metrics")
        say("settings of this stack: " + " ".join(f"{k}={v}" for k, v in _shown(session)))
        say("Ctrl-C drains, checkpoints and stops everything")
        while not asked.wait(1.0):
            if not task.process.running:
                say(f"the worker ended by itself; see {task.process.log}")
                return 1
        say("stopping")
    return 0


def _shown(session: Session) -> list[tuple[str, str]]:
    names = ("DATABASE_URL", "REDIS_URL", "AWS_ENDPOINT_URL", "STREAM_NAME", "AWS_REGION")
    return [(name, session.environment[name]) for name in names]
