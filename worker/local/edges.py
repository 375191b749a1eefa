"""What the demo and the end-to-end tests hold of the product: the same objects that a container wires."""

from typing import NamedTuple, Protocol

from worker.batch import StateKey
from worker.domain.identity import Identity
from worker.ports import Ledger, Producer, Projection


class RawProducer(Producer, Protocol):
    """A producer that can also put a record of another format."""

    def put_raw(self, data: bytes, hash_key: int) -> None:
        """One record exactly as given."""


class Edges(NamedTuple):
    """Ports of one environment, and the realm whose students it knows."""

    ledger: Ledger
    projection: Projection
    producer: RawProducer
    identity: Identity
    realm: str

    def close(self) -> None:
        """Give the connections back."""
        self.ledger.close()
        self.projection.close()

    def key(self, student_id: str, course_id: str) -> StateKey:
        """Where the scores of this student in this course stand."""
        return StateKey(self.identity.pseudonym(student_id, self.realm), course_id)
