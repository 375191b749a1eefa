"""The four steps of a rotation, in order, again, and out of order."""

from typing import Any

import pytest

from deploy.rotating.redis_user import RedisUser
from deploy.rotating.steps import (
    PASSWORD_CHARACTERS,
    RotationError,
    Secret,
    new_password,
    rotate,
    with_new_password,
)
from tests.deploy.vault import CURRENT, PENDING, PREVIOUS, STEPS, OneSecret

FIRST = {"username": "app", "password": "old", "host": "h", "dbname": "d", "port": 1}


class Door:
    """A target that remembers which passwords open it."""

    def __init__(self) -> None:
        self.opens = {"old"}
        self.tested: list[str] = []

    def renew(self, current: Secret) -> Secret:
        return with_new_password(current)

    def set(self, current: Secret, pending: Secret) -> None:
        assert current["password"] in self.opens
        self.opens.add(pending["password"])

    def test(self, pending: Secret) -> None:
        assert pending["password"] in self.opens
        self.tested.append(pending["password"])


@pytest.mark.parametrize("times", [1, 2])
def test_a_rotation(times: int) -> None:
    vault, door = OneSecret(FIRST), Door()
    vault.begin("second")
    for step in STEPS:
        for _ in range(times):
            rotate(vault.event("second", step), vault, door)
    current = vault.at(CURRENT)
    assert current["password"] not in ("old", "")
    assert {**current, "password": "old"} == FIRST
    assert vault.at(PREVIOUS) == FIRST
    assert set(door.tested) == {current["password"]}


def test_a_repeated_first_step_keeps_its_password() -> None:
    vault, door = OneSecret(FIRST), Door()
    vault.begin("second")
    rotate(vault.event("second", "createSecret"), vault, door)
    once = vault.at(PENDING)
    rotate(vault.event("second", "createSecret"), vault, door)
    assert vault.at(PENDING) == once


def test_rotations_follow_each_other() -> None:
    vault, door = OneSecret(FIRST), Door()
    for token in ("second", "third"):
        vault.begin(token)
        for step in STEPS:
            rotate(vault.event(token, step), vault, door)
    assert len({vault.at(CURRENT)["password"], vault.at(PREVIOUS)["password"], "old"}) == 3


def test_a_finished_version_is_left_alone() -> None:
    vault = OneSecret(FIRST)
    rotate(vault.event("first", "setSecret"), vault, Door())
    assert vault.at(CURRENT) == FIRST


@pytest.mark.parametrize(("token", "step"), [("unknown", "createSecret"), ("second", "otherStep")])
def test_what_cannot_be_is_refused(token: str, step: str) -> None:
    vault = OneSecret(FIRST)
    vault.begin("second")
    with pytest.raises(RotationError):
        rotate(vault.event(token, step), vault, Door())


def test_a_version_that_is_not_pending_is_refused() -> None:
    vault = OneSecret(FIRST)
    vault.begin("second")
    vault.stages["second"] = []
    with pytest.raises(RotationError, match="not the pending one"):
        rotate(vault.event("second", "setSecret"), vault, Door())


def test_passwords_need_no_quoting() -> None:
    assert len({new_password() for _ in range(50)}) == 50
    assert len(new_password()) == PASSWORD_CHARACTERS
    assert new_password().isalnum()


class ElastiCache:
    """A user that takes a while to change."""

    def __init__(self, answers: int) -> None:
        self.changes: list[dict[str, Any]] = []
        self.busy = 0
        self._answers = answers

    def modify_user(self, **change: Any) -> None:
        assert self.busy == 0
        self.changes.append(change)
        self.busy = self._answers

    def describe_users(self, UserId: str) -> dict[str, Any]:
        self.busy = max(0, self.busy - 1)
        return {"Users": [{"Status": "modifying" if self.busy else "active"}]}


def test_both_passwords_are_live_at_once() -> None:
    cache = ElastiCache(answers=3)
    slept: list[float] = []
    RedisUser(cache, "user", slept.append).set({"password": "old"}, {"password": "new"})
    assert cache.changes == [
        {"UserId": "user", "AuthenticationMode": {"Type": "password", "Passwords": ["old", "new"]}}
    ]
    assert len(slept) == 2


def test_a_user_that_never_becomes_active_is_reported() -> None:
    cache = ElastiCache(answers=10**9)
    with pytest.raises(RotationError, match="does not become active"):
        RedisUser(cache, "user", lambda _: None, patience=30).set({"password": "old"}, {"password": "new"})
