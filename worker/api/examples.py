"""Answers as the schema shows them; a test holds each against the form of what is really answered."""

_KEY = "5f0c7a52-1c1e-4d0b-9f51-0d6f3a9b8a11"
_MOMENT = {"as_of": "2026-03-02T12:00:00Z", "stale_seconds": 0.4, "degraded": False}
_AT_RISK = {
    "flag": True,
    "reasons": [
        {"code": "inactive", "value": 9, "threshold": 7, "text": "no activity for 9 days"},
    ],
}
STUDENT_IN_COURSE = {
    "student_id": "s-17",
    "student_key": _KEY,
    "course_id": "algebra",
    "definition": "v1",
    **_MOMENT,
    "attempts_total": 5,
    "attempts_scored": 4,
    "attempts_window": 4,
    "mean_last_n": 0.85,
    "mean_last_7d": None,
    "mean_last_30d": 0.9,
    "ewma": 0.8569,
    "latest": 1.1,
    "best": 1.1,
    "trend": 0.12,
    "last_activity_at": "2026-02-21T10:00:00Z",
    "provisional": False,
    "over_max": True,
    "percentile_in_course": 61.5,
    "at_risk": _AT_RISK,
    "window": [{"occurred_at": "2026-02-21T10:00:00Z", "ratio": 1.1}],
}
CLASS = {
    "course_id": "algebra",
    "definition": "v1",
    **_MOMENT,
    "learners": 31,
    "learners_counted": 28,
    "mean": 0.68,
    "at_risk": 4,
    "distribution": [{"from": 0.0, "to": 0.1, "learners": 0}],
    "items": [{"item_id": "quiz-1", "attempts": 60, "learners": 31, "correct_rate": 0.7, "mean": 0.66}],
    "roster": [
        {
            "student_id": "s-17",
            "student_key": _KEY,
            "attempts_total": 5,
            "attempts_scored": 4,
            "mean_last_n": 0.85,
            "ewma": 0.8569,
            "latest": 1.1,
            "trend": 0.12,
            "last_activity_at": "2026-02-21T10:00:00Z",
            "provisional": False,
            "percentile_in_course": 61.5,
            "at_risk": _AT_RISK,
        }
    ],
    "next_cursor": None,
}
SYSTEM = {
    "as_of": "2026-03-02T12:00:00Z",
    "stale_seconds": 0.4,
    "redis": "answers",
    "ledger": "answers",
    "events": {
        "read": 100,
        "applied": 90,
        "revised": 2,
        "duplicate": 5,
        "superseded": 1,
        "redelivered": 1,
        "erased": 0,
        "dead_lettered": 1,
    },
    "shards": [
        {
            "shard": "shardId-000000000000",
            "iterator_age_seconds": 0.2,
            "read": 100,
            "dead_lettered": 1,
            "committed_at": "2026-03-02T12:00:00Z",
        }
    ],
    "dead_letters": [{"reason": "missing_field", "count": 1}],
}
ATTEMPTS = {
    "student_id": "s-17",
    "student_key": _KEY,
    "course_id": "algebra",
    "as_of": "2026-03-02T12:00:00Z",
    "attempts": [
        {
            "item_id": "quiz-1",
            "occurred_at": "2026-02-21T10:00:00Z",
            "graded_at": "2026-02-21T10:00:00Z",
            "score": 11.0,
            "max_score": 10.0,
            "ratio": 1.1,
            "revision": 0,
            "source": "default",
        }
    ],
    "next_cursor": None,
}
DISCLOSURES = {
    "student_id": "s-17",
    "student_key": _KEY,
    "disclosures": [
        {
            "at": "2026-03-02T12:00:00Z",
            "who": "ms-frizzle",
            "role": "teacher",
            "what": "scores",
            "course_id": "algebra",
            "purpose": None,
        }
    ],
    "next_cursor": None,
}
