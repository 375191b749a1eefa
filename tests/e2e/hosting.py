"""Processes run as containers run them, so that their calls of AWS are those of a deployment.

In `aws` mode, each with an access key id of its own, secrets from Secrets Manager, dead letters under KMS.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from tests.deploy.rights import Role
from tests.deploy.synthesis import Synthesis
from worker.local.cloud import aws_client
from worker.local.process import StackError
from worker.local.recording import Call
from worker.local.session import Session

Run = Callable[[Session, Mapping[str, str]], object]

STUDENT = "ada"
"""Of whom there is a score when the jobs are run."""

_ROWS = f"""student_id,course_id,item_id,score,max_score,occurred_at
{STUDENT},algebra,essay,7,10,2026-03-02T12:00:00Z
bob,algebra,essay,9,10,2026-03-02T12:00:00Z
"""


def _verb(verb: str) -> Run:
    return lambda session, settings: session.run(verb, settings=settings)


def _script(name: str, *arguments: str) -> Run:
    return lambda session, settings: session.run(*arguments, module=f"scripts.{name}", settings=settings)


def _replay(session: Session, settings: Mapping[str, str]) -> None:
    """All that the stream keeps, what nobody can decode included: it is buried again."""
    now = datetime.now(UTC)
    span = ("--from", (now - timedelta(hours=1)).isoformat(), "--to", now.isoformat())
    _script("replay", *span, "--share", "1")(session, settings)


def _export(session: Session, settings: Mapping[str, str]) -> None:
    out = str(Path(settings["STATE_DIR"]) / "record.json")
    told = ("--out", out, "--for", "the parents", "--purpose", "to inspect")
    _script("export", *_student(settings), *told)(session, settings)


def _erase(session: Session, settings: Mapping[str, str]) -> None:
    decided = ("--by", "the registrar", "--reason", "a request", "--yes")
    _script("erase", *_student(settings), *decided)(session, settings)


def _backfill(session: Session, settings: Mapping[str, str]) -> None:
    """Straight, with a row of the erased student, which is buried; then over the stream."""
    file = Path(settings["STATE_DIR"]) / "scores.csv"
    file.write_text(_ROWS)
    for way in ((), ("--via-stream",)):
        _script("backfill", str(file), *way)(session, settings)


def _epoch(session: Session, settings: Mapping[str, str]) -> None:
    """It asks all that it would ask, and begins nothing beside the others."""
    now = datetime.now(UTC).isoformat()
    looks = ("--force", "--accept-checkpoints", "--dry-run")
    _script("epoch", "--restored-to", now, *looks)(session, settings)


def _rekey(session: Session, settings: Mapping[str, str]) -> None:
    kid = json.loads(Path(session.environment["IDENTITY_KEYS_FILE"]).read_text())["current"]
    _script("rekey", "--to", kid)(session, settings)


def _load_test(session: Session, settings: Mapping[str, str]) -> None:
    """A few seconds by the stream, proven; whether so busy a machine keeps to the time is not asked."""
    report = Path(settings["STATE_DIR"]) / "load.json"
    small = ("--rate", "40", "--minutes", "0.05", "--warm-up", "0", "--students", "20", "--courses", "2")
    try:
        _script("load_test", *small, "--report", str(report))(session, settings)
    except StackError:
        if not report.exists():
            raise
        told = json.loads(report.read_bytes())
        failed = {verdict["claim"] for verdict in told["verdicts"] if not verdict["good"]}
        if failed != {"rate held"}:
            raise


def _student(settings: Mapping[str, str]) -> tuple[str, str]:
    file = Path(settings["STATE_DIR"]) / "id.txt"
    file.write_text(STUDENT)
    return "--student-id-file", str(file)


JOB_RUNS: Sequence[Mapping[str, Run]] = (
    # each of these works with what the one before has left
    {"export": _export, "erase": _erase, "backfill": _backfill, "retention": _script("retention")},
    {"replay": _replay, "redrive": _script("redrive")},
    {"migrate": _verb("migrate"), "check": _verb("check"), "epoch": _epoch},
    {"rekey": _rekey, "rebuild": _script("rebuild")},
    {"load-test": _load_test},
)
"""How each job of the platform is run so that it makes all of its calls; a new job gets a line.

One after the other in a row, the rows side by side.
"""

_LOCAL = ("DATABASE_URL", "REDIS_URL", "IDENTITY_KEYS_FILE", "DEAD_LETTER_KEY_FILE", "TOKEN_ISSUER")


class Hosting:
    """Gives processes of a session the settings of their containers, and judges their calls."""

    def __init__(self, session: Session, platform: Synthesis) -> None:
        self._platform = platform
        endpoints, environment = session.stack.endpoints, session.environment
        kms = aws_client("kms", endpoints.aws_endpoint_url)
        self._key: str = kms.create_key()["KeyMetadata"]["KeyId"]
        database, redis = conninfo_to_dict(endpoints.database_url), urlsplit(endpoints.redis_url)
        user = {"username": database["user"], "password": "", "sslmode": "disable"}
        secrets = {
            "DATABASE_SECRET_ID": json.dumps({**database, **user}),
            "REDIS_SECRET_ID": json.dumps({"host": redis.hostname, "port": redis.port, "tls": False}),
            "IDENTITY_KEYS_SECRET_ID": Path(environment["IDENTITY_KEYS_FILE"]).read_text(),
            "GATEWAY_SECRET_ID": "the word of the gateway",
        }
        self._owner = secrets["DATABASE_SECRET_ID"]
        client = aws_client("secretsmanager", endpoints.aws_endpoint_url)
        for name, text in secrets.items():
            client.create_secret(Name=name, SecretString=text)

    def settings(self, task: str) -> dict[str, str]:
        """What the container of a task is told, with this machine's names in place of the template's."""
        told = self._platform.environment(task)
        return {
            **{name: "" for name in _LOCAL if name not in told},
            **{name: name for name in told if name.endswith("_SECRET_ID")},
            "MODE": "aws",
            "AWS_ACCESS_KEY_ID": task,
            "DEAD_LETTER_KMS_KEY_ID": self._key,
            **({"OWNER_SECRET": self._owner} if task == "migrate" else {}),
        }

    def run_jobs(self, session: Session, folder: Path) -> None:
        """Every job, with its files in `folder`."""

        def row(jobs: Mapping[str, Run]) -> None:
            for job, run in jobs.items():
                own = folder / job
                own.mkdir(parents=True)
                run(session, {**self.settings(job), "STATE_DIR": str(own)})

        with ThreadPoolExecutor(len(JOB_RUNS)) as rows:
            for _ in rows.map(row, JOB_RUNS):
                pass

    def problems(self, task: str, calls: set[Call]) -> list[str]:
        """What a task's role lacks, and what it allows for nothing."""
        own = {call for call in calls if call.caller == task}
        role = Role(self._platform, task, self._key)
        return [*role.lacks(own), *role.never_needs(own)]
