"""A school on real servers: the API as its own process, and a worker that the test turns by hand."""

import gzip
import http.client
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from worker import wiring
from worker.adapters.memory import MemoryCheckpointer, MemoryMetrics
from worker.batch import Record
from worker.domain.position import Position
from worker.issuing import issue
from worker.local.cloud import aws_client
from worker.local.session import Api, Session
from worker.settings import load, load_api
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, World

COURSE = "trigonometry"
OTHER = "geometry"
"""A course of the same teacher in which other tests may do what they like."""
PUPILS = [f"s-{n}" for n in range(12)]
PURPOSE = "a complaint about a grade"
_ROLES = {
    "producer": ["producer"],
    "teacher": ["teacher"],
    "stranger": ["teacher"],
    "official": ["official"],
    "analyst": ["analyst"],
    "operator": ["operator"],
    "nobody": [],
    **{pupil: ["student"] for pupil in PUPILS},
}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class School:
    """The session, one API process of it, tokens of everybody, and the way of events into the ledger."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.api: Api = session.start_api({"CLASS_SECONDS": "1"})
        settings = load_api(session.environment)
        self.tokens = {
            name: issue(
                settings,
                subject=f"subject-{name}",
                roles=roles,
                courses={"teacher": [COURSE, OTHER], "stranger": ["history"]}.get(name, []),
                student_id=name if name in PUPILS else None,
                hours=1,
            )
            for name, roles in _ROLES.items()
        }
        self._pipelines: dict[str, tuple[Pipeline, str]] = {}
        self._closes: list[Callable[[], None]] = []
        self._kinesis = aws_client("kinesis", session.stack.endpoints.aws_endpoint_url)

    def as_(self, who: str, **headers: str) -> dict[str, str]:
        """The headers of somebody; officials say why."""
        said = {"X-Purpose": PURPOSE} if who == "official" else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"Authorization": f"Bearer {self.tokens[who]}", **said, **named}

    def get(
        self, who: str, path: str, headers: dict[str, str] | None = None, /, **parameters: object
    ) -> Answer:
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.call("GET", path + query, {**self.as_(who), **(headers or {})})

    def post(
        self, body: object, *, kind: str = "application/json", who: str = "producer", **headers: str
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", "/students", {**self.as_(who, **headers), "Content-Type": kind}, raw)

    def call(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.api.url).netloc, timeout=30)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def deliver(self) -> None:
        """Everything in the stream goes through the pipeline, as a shard process would do it."""
        settings = load(self.session.environment)
        shards = self._kinesis.list_shards(StreamName=settings.stream_name)["Shards"]
        for shard in shards:
            pipeline, iterator = self._pipelines.get(shard["ShardId"]) or self._opened(shard["ShardId"])
            found = self._kinesis.get_records(ShardIterator=iterator)
            records = [
                Record(
                    one["Data"],
                    Position(int(one["SequenceNumber"])),
                    one["ApproximateArrivalTimestamp"].astimezone(UTC),
                )
                for one in found["Records"]
            ]
            pipeline.process(records)
            pipeline.settle(MemoryCheckpointer(), at_once=True)
            self._pipelines[shard["ShardId"]] = pipeline, found["NextShardIterator"]

    def close(self) -> None:
        """Give the worker's connections back."""
        for close in self._closes:
            close()

    def records(self) -> list[bytes]:
        """Every record of the stream."""
        found: list[bytes] = []
        name = load(self.session.environment).stream_name
        for shard in self._kinesis.list_shards(StreamName=name)["Shards"]:
            iterator = self._kinesis.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            found += [one["Data"] for one in self._kinesis.get_records(ShardIterator=iterator)["Records"]]
        return found

    def _opened(self, shard: str) -> tuple[Pipeline, str]:
        settings = load(self.session.environment)
        ledger = wiring.ledger(settings)
        projection = wiring.projection(settings, ledger.epoch())
        self._closes += [ledger.close, projection.close]
        world = World(
            ledger=ledger,
            projection=projection,
            metrics=MemoryMetrics(),
            now=wiring.now,
            pause=lambda seconds, because: time.sleep(seconds),
        )
        prefix = wiring.stream_prefix(settings)()
        decoder = Decoder(wiring.identity(settings), settings.realm)
        pipeline = Pipeline(f"{prefix}:{shard}", decoder, world, wiring.policy(settings))
        pipeline.open(None)
        iterator: str = self._kinesis.get_shard_iterator(
            StreamName=settings.stream_name, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return pipeline, iterator


def attempt(student: str, item: str, score: float | None = 80, **more: Any) -> dict[str, Any]:
    """An attempt of this morning."""
    at = datetime.now(UTC) - timedelta(hours=1)
    return {
        "student_id": student,
        "course_id": COURSE,
        "item_id": item,
        "attempt": 1,
        "score": score,
        "max_score": 100,
        "occurred_at": at.isoformat(),
        **more,
    }


def enrol(school: School) -> None:
    """Twelve pupils with five attempts each, through the API, the stream and the pipeline."""
    events = [attempt(pupil, f"q{k}", 40 + 5 * n + k) for n, pupil in enumerate(PUPILS) for k in range(5)]
    answer = school.post(gzip.compress(json.dumps(events).encode()), Content_Encoding="gzip")
    assert answer.status == 202, answer.body
    assert answer.json["accepted"] == len(events)
    school.deliver()


def eventually(holds: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def logs(directory: Path) -> bytes:
    """Everything that any process wrote down."""
    return b"\n".join(path.read_bytes() for path in sorted(directory.rglob("*.log")))


def statuses(answers: Sequence[Answer]) -> list[int]:
    return [answer.status for answer in answers]
