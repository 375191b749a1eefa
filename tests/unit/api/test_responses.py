"""Tags: the same answer is met again, whatever the moment; anything else is not."""

from datetime import datetime

import msgspec
import pytest

from tests.conftest import NOW, minutes
from worker.api.answers import SystemFigures
from worker.api.responses import Told, plain, tagged

ANSWER = SystemFigures(
    as_of=NOW,
    stale_seconds=0.4,
    redis="answers",
    ledger="answers",
    events={"read": 1},
    shards=[],
    dead_letters=[],
)


def get(answer: msgspec.Struct = ANSWER, tag: str = "") -> Told:
    return tagged(answer, tag)


def test_a_moment_later_the_same_answer_has_the_same_tag() -> None:
    later = msgspec.structs.replace(ANSWER, as_of=NOW + minutes(1), stale_seconds=9.0)
    assert get().headers["ETag"] == get(later).headers["ETag"]
    assert get(later).headers["X-As-Of"] == "2026-03-02T12:01:00Z"
    assert get(later).headers["X-Stale-Seconds"] == "9.0"


def test_another_answer_has_another_tag() -> None:
    other = msgspec.structs.replace(ANSWER, events={"read": 2})
    assert get().headers["ETag"] != get(other).headers["ETag"]


def test_a_text_that_looks_like_a_moment_is_part_of_the_tag() -> None:
    def named(text: str, at: datetime = NOW) -> str:
        return get(msgspec.structs.replace(ANSWER, redis=text, as_of=at)).headers["ETag"]

    moment = '"as_of":"2026-03-02T12:00:00Z"'
    assert named(moment) == named(moment, NOW + minutes(1))
    assert len({named(moment), named(""), named("as_of"), named(moment[1:-1])}) == 4


def test_who_has_it_gets_no_body_and_the_moment_in_headers() -> None:
    tag = get().headers["ETag"]
    for sent in (tag, f'W/"other", {tag}', f' {tag} ,"x"'):
        answer = get(tag=sent)
        assert (answer.status, answer.body) == (304, None)
        assert answer.headers["ETag"] == tag
        assert answer.headers["X-As-Of"] == "2026-03-02T12:00:00Z"


@pytest.mark.parametrize("sent", ["", '"', "W/", ",,,,", "x" * 100_000, 'W/"' + "0" * 24 + '"', "\x00\xff"])
def test_another_tag_gets_the_whole_answer(sent: str) -> None:
    answer = get(tag=sent)
    assert (answer.status, bool(answer.body)) == (200, True)


def test_nothing_is_kept_by_shared_caches() -> None:
    assert get().headers["Cache-Control"] == "private, no-cache"
    assert plain(ANSWER).headers["Cache-Control"] == "no-store"
    assert "Authorization" in get().headers["Vary"]
