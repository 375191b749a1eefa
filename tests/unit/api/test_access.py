"""The matrix of role, route and ownership, from one table; whatever the table does not name is refused."""

import itertools
from collections.abc import Callable, Sequence

import pytest

from worker.api import access
from worker.api.access import Caller, Grant, Role
from worker.api.problems import Forbidden

OWN, OTHER = "s-1", "s-2"
TAUGHT, FOREIGN = "algebra", "history"
PURPOSE = "a complaint about a grade"

Look = Callable[[Caller, str | None], Grant | None]


def caller(*roles: Role) -> Caller:
    return Caller("someone", frozenset(roles), "default", student_id=OWN, courses=frozenset({TAUGHT}))


def _write(who: Caller, purpose: str | None) -> Grant | None:
    access.to_write(who)
    return None


def _system(who: Caller, purpose: str | None) -> Grant | None:
    access.to_system(who)
    return None


LOOKS: dict[str, Look] = {
    "send": _write,
    "system": _system,
    "own record": lambda who, purpose: access.to_student(who, OWN, None, purpose),
    "own record, taught course": lambda who, purpose: access.to_student(who, OWN, TAUGHT, purpose),
    "own record, foreign course": lambda who, purpose: access.to_student(who, OWN, FOREIGN, purpose),
    "other's record": lambda who, purpose: access.to_student(who, OTHER, None, purpose),
    "other's record, taught course": lambda who, purpose: access.to_student(who, OTHER, TAUGHT, purpose),
    "other's record, foreign course": lambda who, purpose: access.to_student(who, OTHER, FOREIGN, purpose),
    "taught class": lambda who, purpose: access.to_class(who, TAUGHT, purpose),
    "foreign class": lambda who, purpose: access.to_class(who, FOREIGN, purpose),
    "who saw own": lambda who, purpose: access.to_disclosures(who, OWN, purpose),
    "who saw other's": lambda who, purpose: access.to_disclosures(who, OTHER, purpose),
}

OWN_RECORD = Grant(Role.STUDENT, own=True)
AS_TEACHER = Grant(Role.TEACHER, courses=frozenset({TAUGHT}))
AS_OFFICIAL = Grant(Role.OFFICIAL)
FIGURES = Grant(Role.ANALYST, rows=False)

ALLOWED: dict[tuple[Role, str], Grant | None] = {
    (Role.PRODUCER, "send"): None,
    (Role.OPERATOR, "system"): None,
    (Role.STUDENT, "own record"): OWN_RECORD,
    (Role.STUDENT, "own record, taught course"): OWN_RECORD,
    (Role.STUDENT, "own record, foreign course"): OWN_RECORD,
    (Role.STUDENT, "who saw own"): OWN_RECORD,
    (Role.TEACHER, "own record"): AS_TEACHER,
    (Role.TEACHER, "own record, taught course"): AS_TEACHER,
    (Role.TEACHER, "other's record"): AS_TEACHER,
    (Role.TEACHER, "other's record, taught course"): AS_TEACHER,
    (Role.TEACHER, "taught class"): Grant(Role.TEACHER),
    (Role.ANALYST, "taught class"): FIGURES,
    (Role.ANALYST, "foreign class"): FIGURES,
}
WITH_PURPOSE: dict[tuple[Role, str], Grant | None] = {
    (Role.OFFICIAL, look): AS_OFFICIAL for look in LOOKS if look not in ("send", "system")
}


def answer(look: str, purpose: str | None, *roles: Role) -> tuple[bool, Grant | None]:
    try:
        return True, LOOKS[look](caller(*roles), purpose)
    except Forbidden:
        return False, None


@pytest.mark.parametrize("purpose", [None, PURPOSE])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("role", Role)
def test_one_role_may_what_the_table_says(role: Role, look: str, purpose: str | None) -> None:
    table = {**ALLOWED, **(WITH_PURPOSE if purpose else {})}
    allowed = (role, look) in table
    assert answer(look, purpose, role) == (allowed, table.get((role, look)))


@pytest.mark.parametrize("look", LOOKS)
def test_no_role_may_nothing(look: str) -> None:
    assert answer(look, PURPOSE) == (False, None)


@pytest.mark.parametrize("roles", list(itertools.combinations(Role, 2)))
@pytest.mark.parametrize("look", LOOKS)
def test_two_roles_may_what_either_may_and_nothing_more(look: str, roles: Sequence[Role]) -> None:
    for purpose in (None, PURPOSE):
        table = {**ALLOWED, **(WITH_PURPOSE if purpose else {})}
        allowed, grant = answer(look, purpose, *roles)
        grants = [table[role, look] for role in roles if (role, look) in table]
        assert allowed == bool(grants)
        assert grant in grants or not allowed


def test_a_student_without_an_id_owns_no_record() -> None:
    nobody = Caller("someone", frozenset({Role.STUDENT}), "default")
    with pytest.raises(Forbidden):
        access.to_student(nobody, "me", None, PURPOSE)
    with pytest.raises(Forbidden):
        access.to_disclosures(nobody, "me", None)


def test_an_official_is_told_to_say_why() -> None:
    with pytest.raises(Forbidden, match="X-Purpose"):
        access.to_class(caller(Role.OFFICIAL), TAUGHT, None)
