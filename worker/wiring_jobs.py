"""What jobs are wired from: the parts of a shard process, for a source of the job's own.

A job runs beside live traffic and through the same pipeline, so that nothing can be true of one and false of
the other. It waits out outages as a shard does; only its pause is its own, because an operator who presses
Ctrl-C during an outage must not wait for the end of it.
"""

from typing import NamedTuple

from worker import wiring
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.adapters.aurora.dossiers import AuroraDossiers
from worker.adapters.aurora.erasing import AuroraErasing
from worker.adapters.aurora.retaining import AuroraRetaining
from worker.adapters.redis_classes import RedisClasses
from worker.domain.identity import Identity
from worker.ports import Ledger, Metrics, Pause, Projection, Source, Vault
from worker.reads import ClassStore, DisclosureLog
from worker.settings import Settings
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, World
from worker.upkeep import Dossiers, Erasing, Retaining


def world(settings: Settings, metrics: Metrics, pause: Pause) -> World:
    """The ports of one job's pipeline, on connections of its own."""
    books = wiring.ledger(settings)
    projection = wiring.projection(settings, books.epoch())
    return World(ledger=books, projection=projection, metrics=metrics, now=wiring.now, pause=pause)


def pipeline(settings: Settings, source: Source, given: World) -> Pipeline:
    """One source's way into ledger and projection, as a shard process has it."""
    decoder = Decoder(wiring.identity(settings), settings.realm)
    return Pipeline(source, decoder, given, wiring.policy(settings))


class Office(NamedTuple):
    """What the jobs work with that take out or give away whole records."""

    ledger: Ledger
    projection: Projection
    erasing: Erasing
    retaining: Retaining
    dossiers: Dossiers
    disclosures: DisclosureLog
    classes: ClassStore
    identity: Identity
    vault: Vault

    def close(self) -> None:
        """Give every connection back."""
        for port in (
            self.ledger,
            self.projection,
            self.erasing,
            self.retaining,
            self.dossiers,
            self.disclosures,
            self.classes,
        ):
            port.close()


def office(settings: Settings) -> Office:
    """The parts of such a job.

    Raises:
        Unavailable: PostgreSQL or a secret cannot be read.
    """
    conninfo = wiring.database(settings)
    books = wiring.ledger(settings, for_readers=True)
    epoch = books.epoch()
    return Office(
        books,
        wiring.projection(settings, epoch),
        AuroraErasing(conninfo),
        AuroraRetaining(conninfo),
        AuroraDossiers(conninfo),
        AuroraDisclosures(conninfo),
        RedisClasses(wiring.redis_url(settings), epoch),
        wiring.identity(settings),
        wiring.vault(settings),
    )
