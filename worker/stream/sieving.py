"""Finding one student in dead letters: they are sealed, so each has to be opened and looked at.

An event that can be read says whose it is. What nobody can read is searched as text for the pseudonym and the
plain id; a letter that cannot even be searched stays, and expires.
"""

import json
from typing import NamedTuple
from uuid import UUID

from worker.domain import envelope
from worker.domain.errors import Poison
from worker.domain.formats import native
from worker.domain.identity import Identity
from worker.ports import Vault
from worker.stream.decoding import WHOLE_RECORD
from worker.upkeep import Letter


class Mention(NamedTuple):
    """What a letter holds of the student; `alone` where nobody else's events can be in it."""

    found: bool
    alone: bool


class Sieve:
    """Finds one student in sealed dead letters.

    Args:
        vault: opens them.
        identity: knows the pseudonyms of raw student ids.
        realm: of raw student ids in the stream.
        keys: the student's pseudonyms.
        student_id: the plain id where it is known.
    """

    def __init__(
        self, vault: Vault, identity: Identity, realm: str, keys: frozenset[UUID], student_id: str | None
    ) -> None:
        self._vault = vault
        self._identity = identity
        self._realm = realm
        self._keys = keys
        self._words = [str(key).encode() for key in keys]
        if student_id is not None:
            # as a JSON text, so that an id is not found inside a longer one
            for ascii_only in (True, False):
                self._words.append(json.dumps(student_id, ensure_ascii=ascii_only).encode())

    def mention(self, letter: Letter) -> Mention | None:
        """What a letter holds of the student; None where it can be neither read nor searched."""
        try:
            payload = self._vault.open(letter.payload)
        except ValueError:
            return None
        whole = letter.place.number == WHOLE_RECORD
        try:
            text = envelope.inflate(payload)
        except Poison:
            return None
        if whole:
            return self._searched(text, alone=False)
        try:
            events = envelope.open_record(payload).events
        except Poison:
            return self._searched(text, alone=True)
        return Mention(any(map(self._is_of, events)), alone=len(events) == 1)

    def _is_of(self, raw: bytes) -> bool:
        try:
            student = native.named(raw)
        except Poison:
            return self._searched(raw, alone=True).found
        if isinstance(student, str):
            return not self._keys.isdisjoint(self._identity.pseudonyms(student, self._realm))
        return student in self._keys

    def _searched(self, text: bytes, *, alone: bool) -> Mention:
        return Mention(any(word in text for word in self._words), alone)
