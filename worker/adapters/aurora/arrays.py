"""Arrays as text: psycopg would dump each element by itself, at four times the cost."""

from collections.abc import Iterable
from uuid import UUID


def array(elements: Iterable[str]) -> str:
    """The text of an array; elements with a comma, a brace, a quote or a blank come quoted."""
    return "{" + ",".join(elements) + "}"


def uuids(keys: Iterable[UUID]) -> str:
    """The text of a uuid[]."""
    return array(f"{key.int:032x}" for key in keys)
