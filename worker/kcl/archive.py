"""The daemon's classes as Java maps them into memory: read, checked and laid out once, not at every start.

A task starts on half a core, and much of that is Java reading classes. An archive fits one Java and one list
of jars, so it is made where these are put together, by a start that reaches nobody; a Java that finds one of
another starts as without.
"""

import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from worker.kcl.daemon import JavaCommand
from worker.kcl.properties import DaemonProperties, render

_NOWHERE = "http://127.0.0.1:9"
_HAS_TRIED = "Initializing LeaseCoordinator attempt 2"
_LONGEST_SECONDS = 300.0
_LAST_LINES = 5


def make(java: str, file: Path) -> None:
    """Write the archive of the classes that the daemon loads until it has tried to reach its tables.

    Args:
        java: the program that will start the daemon.
        file: replaced if it is there.

    Raises:
        RuntimeError: Java wrote none; the message ends with what it said.
    """
    # Java maps whatever has the right head: a file that was broken off would end it
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        properties = Path(folder, "daemon.properties")
        properties.write_text(render(_unreachable()))
        command = JavaCommand(java, extra=(f"-XX:ArchiveClassesAtExit={part}",))(properties)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nobody",
            "AWS_EC2_METADATA_DISABLED": "true",
            # the first refusal is as good as the last
            "AWS_MAX_ATTEMPTS": "1",
        }
        said = _until_tried(command, environment)
    if not part.exists():
        raise RuntimeError("\n".join([f"{java} wrote no archive:", *said[-_LAST_LINES:]]))
    part.replace(file)


def _until_tried(command: list[str], environment: dict[str, str]) -> list[str]:
    """Java writes the archive at its orderly end, which is SIGTERM's too."""
    said: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as daemon:
        patience = threading.Timer(_LONGEST_SECONDS, daemon.kill)
        patience.start()
        for line in daemon.stdout or ():
            said.append(line.rstrip())
            if _HAS_TRIED in line:
                daemon.send_signal(signal.SIGTERM)
        patience.cancel()
    return said


def _unreachable() -> DaemonProperties:
    return DaemonProperties(
        executable_name="/bin/true",
        application_name="archive",
        stream_name="archive",
        region_name="eu-west-1",
        worker_id="archive",
        shutdown_grace_millis=1,
        kinesis_endpoint=_NOWHERE,
        dynamodb_endpoint=_NOWHERE,
        cloudwatch_endpoint=_NOWHERE,
    )
