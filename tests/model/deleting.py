"""Erase and retention jobs: rows and their floor in one transaction, then one script for Redis."""

from collections.abc import Iterator

from tests.model import ledger, redis
from tests.model.state import Deletion, Script, State, Step
from tests.model.world import World, replaced

WORDS = {"erase": "an ERASE", "lifted": "an ERASE", "retain": "RETENTION"}


def steps(world: World, state: State) -> Iterator[Step]:
    """Every way on for the deletions; number i deletes key i."""
    for key, (deletion, kind) in enumerate(zip(state.deletions, world.configuration.deletions, strict=True)):
        if deletion.phase == "waiting" and state.ledger.versions[key] is not None:
            books, number = ledger.delete(world, state.ledger, key, kind)
            yield Step(
                _put(state._replace(ledger=books), key, Deletion("unlink", number)),
                "{} of key {} COMMITS",
                (WORDS[kind], key),
                fault=True,
            )
        elif deletion.phase == "unlink":
            answer, _ = redis.run(world, state.redis, Script("unlink", (key, deletion.number)))
            yield Step(
                _put(state._replace(redis=answer), key, Deletion("done", deletion.number)),
                "the deletion of key {} unlinks its state",
                (key,),
            )
        elif deletion.phase == "done" and kind == "lifted":
            books = ledger.lift(world, state.ledger, key)
            yield Step(
                _put(state._replace(ledger=books), key, Deletion("lifted", deletion.number)),
                "an operator lifts the tombstone of key {}",
                (key,),
                fault=True,
            )


def crash(state: State) -> Iterator[Step]:
    """A job dies between its transaction and its script."""
    for key, deletion in enumerate(state.deletions):
        if deletion.phase == "unlink":
            after = _put(state, key, Deletion("dead", deletion.number))
            yield Step(after, "the deletion of key {} CRASHES before it unlinks", (key,), fault=True)


def _put(state: State, key: int, deletion: Deletion) -> State:
    return state._replace(deletions=replaced(state.deletions, key, deletion))
