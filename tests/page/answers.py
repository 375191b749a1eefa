"""The answers of docs/api.md as types, and a small school that fills them."""

from datetime import UTC, datetime, timedelta
from math import sin
from typing import Literal

import msgspec

AS_OF = datetime(2026, 11, 22, 12, tzinfo=UTC)

HOSTILE = (
    "<img src=x onerror=\"document.title='taken over'\">",
    "\u202e\u05d3\u05e0\u05d9\u05d0\u05dc-17",
    '=HYPERLINK("//example.invalid";"A1")',
    "x" * 256,
)
"""What a platform may call its students, courses and tasks."""


class Reason(msgspec.Struct):
    code: str
    value: float
    threshold: float
    text: str


class AtRisk(msgspec.Struct):
    flag: bool = False
    reasons: list[Reason] = []


class Learner(msgspec.Struct):
    student_id: str | None
    student_key: str
    attempts_total: int
    attempts_scored: int
    mean_last_n: float | None
    ewma: float | None
    latest: float | None
    trend: float | None
    last_activity_at: datetime | None
    provisional: bool
    percentile_in_course: float | None
    at_risk: AtRisk


class Tenth(msgspec.Struct, rename={"lower": "from", "upper": "to"}):
    lower: float
    upper: float
    learners: int


class Item(msgspec.Struct):
    item_id: str
    attempts: int
    learners: int
    correct_rate: float | None
    mean: float | None


class Age(msgspec.Struct, kw_only=True):
    """How old an answer is."""

    as_of: datetime = AS_OF
    stale_seconds: float | None = 0.4
    degraded: bool = False


class Classroom(Age, kw_only=True):
    course_id: str
    definition: str = "v1"
    learners: int | None
    learners_counted: int | None
    mean: float | None
    at_risk: int | None
    distribution: list[Tenth]
    items: list[Item] | msgspec.UnsetType = msgspec.UNSET
    roster: list[Learner] | msgspec.UnsetType = msgspec.UNSET
    next_cursor: str | None = None


class Point(msgspec.Struct):
    occurred_at: datetime
    ratio: float


class Course(msgspec.Struct, kw_only=True):
    course_id: str
    definition: str = "v1"
    attempts_total: int
    attempts_scored: int
    attempts_window: int
    mean_last_n: float | None
    mean_last_7d: float | None
    mean_last_30d: float | None
    ewma: float | None
    latest: float | None
    best: float | None
    trend: float | None
    last_activity_at: datetime | None
    provisional: bool
    over_max: bool
    percentile_in_course: float | None
    at_risk: AtRisk


class Record(Course, kw_only=True):
    student_id: str
    as_of: datetime = AS_OF
    stale_seconds: float | None = 0.4
    degraded: bool = False
    student_key: str = "5f0c"
    window: list[Point]


class Overview(Age, kw_only=True):
    student_id: str
    student_key: str = "5f0c"
    mean_of_course_means: float | None
    courses: list[Course]


class Attempt(msgspec.Struct):
    item_id: str
    occurred_at: datetime
    graded_at: datetime
    score: float | None
    max_score: float
    ratio: float | None
    revision: int
    source: str


class Attempts(msgspec.Struct, kw_only=True):
    student_id: str
    student_key: str = "5f0c"
    course_id: str
    as_of: datetime = AS_OF
    attempts: list[Attempt]
    next_cursor: str | None = None


class Disclosure(msgspec.Struct):
    at: datetime
    who: str
    role: str
    what: str
    course_id: str | None
    purpose: str | None


class Disclosures(msgspec.Struct, kw_only=True):
    student_id: str
    student_key: str = "5f0c"
    disclosures: list[Disclosure]
    next_cursor: str | None = None


class Events(msgspec.Struct):
    read: int = 68_875
    applied: int = 67_712
    revised: int = 660
    duplicate: int = 465
    superseded: int = 28
    redelivered: int = 0
    erased: int = 3
    dead_lettered: int = 7


class Shard(msgspec.Struct):
    shard: str
    iterator_age_seconds: float | None
    read: int
    dead_lettered: int
    committed_at: datetime | None


class DeadLetters(msgspec.Struct):
    reason: str
    count: int


class System(msgspec.Struct):
    as_of: datetime
    stale_seconds: float | None
    redis: str
    ledger: str
    events: Events
    shards: list[Shard]
    dead_letters: list[DeadLetters]


Role = Literal["producer", "student", "teacher", "official", "analyst", "operator"]


class Session(msgspec.Struct):
    subject: str
    roles: list[Role]
    student_id: str | None
    courses: list[str] | None
    expires_at: datetime
    definition: str = "v1"


INACTIVE = Reason("inactive", 9.0, 7.0, "no activity for 9 days")
WEAK = Reason("low_ewma", 0.41, 0.6, "recent work at 41%, below 60%")
FALLING = Reason("falling", -0.031, -0.02, "results fall by 3.1 points with every attempt")


def learner(number: int) -> Learner:
    """One of the class; everything about it follows from its number."""
    mean = 0.68 + 0.3 * sin(number * 1.7)
    provisional = number % 13 == 5
    reasons = [INACTIVE] if number % 9 == 4 else []
    reasons += [WEAK] if mean < 0.45 and not provisional else []
    return Learner(
        student_id=f"s-{number:03}",
        student_key=f"{number:032x}",
        attempts_total=2 if provisional else 12 + number % 30,
        attempts_scored=2 if provisional else 12 + number % 29,
        mean_last_n=mean,
        ewma=mean + 0.04 * sin(number),
        latest=min(1.1, mean + 0.2 * sin(number * 3)),
        trend=None if provisional else 0.02 * sin(number * 2),
        last_activity_at=AS_OF
        - timedelta(days=9 if reasons[:1] == [INACTIVE] else number % 5, minutes=number),
        provisional=provisional,
        percentile_in_course=None if provisional else round(50 + 49 * sin(number * 1.7), 1),
        at_risk=AtRisk(bool(reasons), reasons),
    )


def classroom(course: str = "algebra", size: int = 64) -> Classroom:
    roster = [learner(number) for number in range(size)]
    counts = [0] * 10
    counted = [one for one in roster if not one.provisional and one.mean_last_n is not None]
    for one in counted:
        counts[min(9, max(0, int((one.mean_last_n or 0) * 10)))] += 1
    return Classroom(
        course_id=course,
        learners=size,
        learners_counted=len(counted),
        mean=sum(one.mean_last_n or 0 for one in counted) / len(counted) if counted else None,
        at_risk=sum(one.at_risk.flag for one in roster),
        distribution=[Tenth(n / 10, (n + 1) / 10, count) for n, count in enumerate(counts)],
        items=[
            Item(
                f"quiz-{n}",
                60 + n,
                size,
                None if n == 7 else 0.35 + 0.06 * n,
                None if n == 7 else 0.4 + 0.05 * n,
            )
            for n in range(1, 10)
        ],
        roster=roster,
    )


def without_rows() -> Classroom:
    """What an analyst sees of a class: merged tenths, and some figures hidden."""
    return Classroom(
        course_id="algebra",
        learners=64,
        learners_counted=None,
        mean=0.68,
        at_risk=None,
        distribution=[Tenth(0, 0.5, 16), Tenth(0.5, 0.8, 21), Tenth(0.8, 1.0, 22)],
    )


def course(name: str = "algebra", mean: float | None = 0.71) -> Course:
    if mean is None:
        return Course(
            course_id=name,
            attempts_total=1,
            attempts_scored=0,
            attempts_window=0,
            mean_last_n=None,
            mean_last_7d=None,
            mean_last_30d=None,
            ewma=None,
            latest=None,
            best=None,
            trend=None,
            last_activity_at=AS_OF - timedelta(days=2),
            provisional=True,
            over_max=False,
            percentile_in_course=None,
            at_risk=AtRisk(),
        )
    return Course(
        course_id=name,
        attempts_total=42,
        attempts_scored=40,
        attempts_window=20,
        mean_last_n=mean,
        mean_last_7d=None,
        mean_last_30d=mean + 0.02,
        ewma=mean + 0.06,
        latest=0.9,
        best=1.1,
        trend=0.012,
        last_activity_at=AS_OF - timedelta(days=9, hours=3),
        provisional=False,
        over_max=True,
        percentile_in_course=61.5,
        at_risk=AtRisk(True, [INACTIVE]),
    )


def record(student: str = "s-017", name: str = "algebra", mean: float | None = 0.71) -> Record:
    figures = msgspec.structs.asdict(course(name, mean))
    points = [
        Point(AS_OF - timedelta(days=60 - 2.5 * n), round(0.6 + 0.012 * n + 0.16 * sin(n * 2.1), 3))
        for n in range(20)
    ]
    return Record(**figures, student_id=student, window=points if mean is not None else [])


def overview(
    student: str = "s-017", names: tuple[str, ...] = ("algebra", "biology", "chemistry")
) -> Overview:
    means = (0.71, 0.58, None)
    courses = [course(name, mean) for name, mean in zip(names, means, strict=False)]
    known = [one.mean_last_n for one in courses if one.mean_last_n is not None]
    return Overview(
        student_id=student, courses=courses, mean_of_course_means=sum(known) / len(known) if known else None
    )


def attempts(student: str, name: str, count: int = 42) -> list[Attempt]:
    return [
        Attempt(
            item_id=f"quiz-{count - n}",
            occurred_at=AS_OF - timedelta(days=9 + n, hours=3),
            graded_at=AS_OF - timedelta(days=8 + n),
            score=None if n == 3 else 6.0 + n % 5,
            max_score=10.0,
            ratio=None if n == 3 else 0.6 + n % 5 / 10,
            revision=2 if n == 1 else 1,
            source="moodle",
        )
        for n in range(count)
    ]


def disclosures(student: str) -> Disclosures:
    day = timedelta(days=1)
    return Disclosures(
        student_id=student,
        disclosures=[
            Disclosure(AS_OF - day, "mr-lind", "teacher", "record", "algebra", None),
            Disclosure(AS_OF - 6 * day, "inspector-3", "official", "class", None, "Yearly inspection 2026"),
        ],
    )


def system() -> System:
    return System(
        as_of=AS_OF,
        stale_seconds=0.4,
        redis="answers",
        ledger="answers",
        events=Events(),
        shards=[
            Shard("shardId-000000000000", 0.2, 34_500, 4, AS_OF),
            Shard("shardId-000000000001", 0.3, 34_375, 3, AS_OF),
            Shard("shardId-000000000002", None, 0, 0, None),
        ],
        dead_letters=[DeadLetters("missing_field", 5), DeadLetters("not_a_number", 2)],
    )


def session(role: Role) -> Session:
    courses = {"teacher": ["algebra", "biology"], "student": ["algebra", "biology", "chemistry"]}
    return Session(
        subject=f"{role}-1",
        roles=[role],
        student_id="s-017" if role == "student" else None,
        courses=courses.get(role, []),
        expires_at=AS_OF + timedelta(hours=8),
    )
