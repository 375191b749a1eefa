"""While a re-keying goes on, a student is found under either key of the ring."""

import dataclasses

from litestar.testing import TestClient

from tests.api_doubles import House, bearer
from tests.conftest import score_event
from worker.api.app import build
from worker.domain.identity import Identity, Key, Keyring

RING = {"k1": Key(bytes(range(32)), bytes(range(64))), "k2": Key(bytes(32), bytes(range(1, 65)))}


def test_a_student_reads_their_scores_before_and_after_they_are_moved() -> None:
    house = House(most_waiting=500)
    house.learn(score_event("ada"))  # under the first key
    service = dataclasses.replace(house.service(), identity=Identity(Keyring("k2", RING)))
    with TestClient(build(lambda: service)) as client:
        own = bearer("student", student_id="ada")
        asked = {"student_id": "ada", "course_id": "algebra"}
        assert client.get("/metrics", params=asked, headers=own).status_code == 200
        assert client.get("/attempts", params=asked, headers=own).status_code == 200
        unknown = bearer("student", student_id="ben")
        assert (
            client.get("/metrics", params={**asked, "student_id": "ben"}, headers=unknown).status_code == 404
        )
