"""What the schema tells of the routes: parameters, documents, statuses, bodies read as streams."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import HeaderParameter, QueryParameter

from worker.api.ingest import MOST_EVENTS, Rejected
from worker.api.problems import MEDIA_TYPE

SHORTEST_PURPOSE = 8
MOST_LINES = 500

StudentId = Annotated[
    str | None,
    QueryParameter(
        name="student_id", min_length=1, max_length=256, description="the school's id; `me` is the own"
    ),
]
# PostgreSQL's text cannot hold NUL, and no course has it in its id
NO_NUL = "^[^\\x00]+$"
CourseId = Annotated[
    str | None, QueryParameter(name="course_id", min_length=1, max_length=256, pattern=NO_NUL)
]
AsOf = Annotated[
    datetime | None, QueryParameter(name="as_of", description="an earlier moment, RFC 3339 with an offset")
]
Limit = Annotated[int | None, QueryParameter(name="limit", ge=1, le=MOST_LINES)]
Cursor = Annotated[str | None, QueryParameter(name="cursor", min_length=1, max_length=512)]
Purpose = Annotated[
    str | None,
    HeaderParameter(
        name="X-Purpose",
        min_length=SHORTEST_PURPOSE,
        max_length=200,
        description="why an official looks; it must not name a student",
    ),
]


class ProblemDocument(msgspec.Struct, frozen=True):
    """An error: what is wrong and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class NothingValidDocument(ProblemDocument, frozen=True):
    """No event was taken: what is wrong with each."""

    accepted: int
    rejected: list[Rejected]


class Lives(msgspec.Struct, frozen=True):
    """The process answers."""

    healthy: bool


class Ready(msgspec.Struct, frozen=True):
    """What the process can do now."""

    ready: bool
    redis: str
    open_shards: int
    events_waiting: int


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            ProblemDocument, generate_examples=False, description="what to do about it", media_type=MEDIA_TYPE
        )
        for status in statuses
    }


def answers(*forms: Any, **examples: Any) -> dict[int, ResponseSpec]:
    """200 with one of these documents, shown by examples, and 304."""
    form = forms[0]
    for other in forms[1:]:
        form = form | other
    shown = [Example(summary=name.replace("_", " "), value=value) for name, value in examples.items()]
    return {
        200: ResponseSpec(form, generate_examples=False, description="the answer", examples=shown),
        304: ResponseSpec(None, description="unchanged since the tag of If-None-Match"),
    }


_EVENT = {
    "student_id": "s-17",
    "course_id": "algebra",
    "item_id": "quiz-1",
    "attempt": 1,
    "score": 8.5,
    "max_score": 10,
    "occurred_at": "2026-03-02T09:00:00Z",
}
_EVENTS = Schema(
    type=OpenAPIType.OBJECT,
    required=["course_id", "item_id", "occurred_at"],
    properties={
        "student_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "course_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "item_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "occurred_at": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
        "graded_at": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], format=OpenAPIFormat.DATE_TIME),
        "score": Schema(type=[OpenAPIType.NUMBER, OpenAPIType.NULL], minimum=-1e6, maximum=1e6),
        "max_score": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=1e6),
        "attempt": Schema(type=[OpenAPIType.INTEGER, OpenAPIType.NULL], minimum=0, maximum=2**63 - 1),
        "event_id": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], min_length=1, max_length=256),
        "kind": Schema(type=OpenAPIType.STRING, enum=["scored", "voided"]),
        "source": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
    },
    description="One graded attempt, see the README; `student_key` and `sealed_id` of a trusted producer "
    "stand for `student_id`.",
)
_LINES = json.dumps(_EVENT)


@dataclass
class SendEvents(Operation):
    """What the stream of the body holds: the handler reads it itself, bounded in size and time."""

    def __post_init__(self) -> None:
        each = Schema(description="an event as above; one that is not costs only itself, see `rejected`")
        several = Schema(type=OpenAPIType.ARRAY, items=each, min_items=1, max_items=MOST_EVENTS)
        self.request_body = RequestBody(
            required=True,
            description="One event, a list of up to 500, or newline-delimited JSON; up to 1 MiB.",
            content={
                "application/json": OpenAPIMediaType(
                    schema=Schema(one_of=[_EVENTS, several]),
                    examples={"one": Example(value=_EVENT), "several": Example(value=[_EVENT])},
                ),
                "application/x-ndjson": OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, description="one event a line"),
                    examples={"lines": Example(value=f"{_LINES}\n{_LINES}\n")},
                ),
            },
        )


@dataclass
class Read(Operation):
    """Parameters that may be left out; the framework would say that they may be null, which no URL can."""

    def __post_init__(self) -> None:
        for parameter in self.parameters or []:
            schema = getattr(parameter, "schema", None)
            if isinstance(schema, Schema):
                _without_null(schema)


def _without_null(schema: Schema) -> None:
    if schema.enum is not None:
        schema.enum = [value for value in schema.enum if value is not None]
        schema.type = OpenAPIType.STRING
    for form in schema.one_of or []:
        if isinstance(form, Schema) and form.type is not OpenAPIType.NULL:
            schema.type, schema.format = form.type, form.format
    schema.one_of = None


@dataclass
class ReadMetrics(Read):
    """A class comes as a table too, for whom `Accept: text/csv` asks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            table = Schema(type=OpenAPIType.STRING, description="the whole roster, one learner a line")
            answer.content["text/csv"] = OpenAPIMediaType(schema=table)


READS = problems(400, 401, 403, 404, 503)
