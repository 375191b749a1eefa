"""The API as docs/api.md tells it, with a school in memory that tests may rearrange at any moment."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast, get_args
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.page import answers
from tests.page.answers import Classroom, Learner, Role
from worker.api.page import SECURITY_HEADERS, assets

Query = Mapping[str, str]

MOMENTARY = {"as_of", "stale_seconds"}
"""Not part of what a tag speaks of; a 304 tells them in headers."""


@dataclass(frozen=True)
class Asked:
    """One request for data, as it arrived."""

    path: str
    query: Query
    headers: Mapping[str, str]


@dataclass
class Trouble(Exception):
    """Answered as a problem document."""

    status: int
    title: str
    detail: str = ""
    retry_after: int | None = None


@dataclass
class School:
    """What the fake API answers from."""

    classroom: Classroom = field(default_factory=answers.classroom)
    overview: answers.Overview = field(default_factory=answers.overview)
    record: answers.Record = field(default_factory=answers.record)
    disclosures: answers.Disclosures = field(default_factory=lambda: answers.disclosures("s-017"))
    system: answers.System = field(default_factory=answers.system)
    courses: list[str] | None = None
    trouble: dict[str, Trouble] = field(default_factory=dict)
    revoked: bool = False
    asked: list[Asked] = field(default_factory=list)

    def answer(self, path: str, query: Query, headers: Mapping[str, str]) -> object:
        role = self.role(headers)
        if path in self.trouble:
            raise self.trouble[path]
        if path == "/session":
            given = answers.session(role)
            given.courses = given.courses if self.courses is None else self.courses
            return given
        if role == "official" and len(headers.get("x-purpose", "")) < 8:
            raise Trouble(403, "A purpose is missing", "Send X-Purpose.")
        if path == "/metrics":
            return self.metrics(role, query)
        if path == "/attempts":
            return self.attempts(query)
        return self.disclosures

    def role(self, headers: Mapping[str, str]) -> Role:
        word = headers.get("authorization", "").removeprefix("Bearer token-")
        if self.revoked or word not in get_args(Role):
            raise Trouble(401, "Who are you?", "Sign in again.")
        return cast("Role", word)

    def metrics(self, role: Role, query: Query) -> object:
        if "student_id" in query and "course_id" in query:
            if query["course_id"] != self.record.course_id:
                return answers.record(query["student_id"], query["course_id"], 0.58)
            return self.record
        if "student_id" in query:
            return self.overview
        if "course_id" in query:
            return answers.without_rows() if role == "analyst" else self.page_of_class(query)
        return self.system

    def page_of_class(self, query: Query) -> Classroom:
        if query["course_id"] != self.classroom.course_id:
            return answers.classroom(query["course_id"], 0)
        roster = self.classroom.roster
        assert not isinstance(roster, msgspec.UnsetType)
        name = query.get("sort", "student_id")

        def value(one: Learner) -> Any:
            return one.at_risk.flag if name == "at_risk" else getattr(one, name)

        known = sorted((one for one in roster if value(one) is not None), key=value)
        if query.get("order") == "desc":
            known.reverse()
        known += [one for one in roster if value(one) is None]
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 100))
        more = start + limit < len(known)
        return msgspec.structs.replace(
            self.classroom,
            roster=known[start : start + limit],
            next_cursor=str(start + limit) if more else None,
        )

    def attempts(self, query: Query) -> answers.Attempts:
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 100))
        student, course = query["student_id"], query["course_id"]
        all_of_them = answers.attempts(student, course)
        more = start + limit < len(all_of_them)
        return answers.Attempts(
            student_id=student,
            course_id=course,
            attempts=all_of_them[start : start + limit],
            next_cursor=str(start + limit) if more else None,
        )


class FakeApi:
    """The page's own files, and the school's answers."""

    def __init__(self) -> None:
        self.school = School()

    def respond(
        self, path: str, query: Query, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if asset := assets().get(path):
            own = {**SECURITY_HEADERS, "Content-Type": asset.content_type, "ETag": asset.etag}
            unchanged = headers.get("if-none-match") == asset.etag
            return (304, own, b"") if unchanged else (200, own, asset.body)
        self.school.asked.append(Asked(path, query, headers))
        try:
            if path not in {"/session", "/metrics", "/attempts", "/disclosures"}:
                raise Trouble(404, "No such path")
            answer = self.school.answer(path, query, headers)
        except Trouble as trouble:
            problem = {"type": "about:blank", "title": trouble.title, "status": trouble.status}
            more = {"Retry-After": str(trouble.retry_after)} if trouble.retry_after else {}
            body = msgspec.json.encode(problem | {"detail": trouble.detail, "request_id": "r-1"})
            return trouble.status, {"Content-Type": "application/problem+json", **more}, body
        if headers.get("accept") == "text/csv":
            return 200, {"Content-Type": "text/csv"}, b"student_id,mean_last_n\r\ns-001,0.5\r\n"
        body = msgspec.json.encode(answer)
        told = {name: value for name, value in msgspec.to_builtins(answer).items() if name not in MOMENTARY}
        more = {"ETag": f'W/"{hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]}"'}
        if moment := getattr(answer, "as_of", None):
            more["X-As-Of"] = moment.isoformat().replace("+00:00", "Z")
        if (stale := getattr(answer, "stale_seconds", None)) is not None:
            more["X-Stale-Seconds"] = str(stale)
        if headers.get("if-none-match") == more["ETag"]:
            return 304, more, b""
        return 200, {"Content-Type": "application/json", **more}, body


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """The fake on a free port of this machine; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, body = api.respond(url.path, query, headers)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Tests ask `School.asked` instead."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
