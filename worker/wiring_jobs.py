"""What jobs are wired from: the parts of a shard process, for a source of the job's own.

A job runs beside live traffic and through the same pipeline, so that nothing can be true of one and false of
the other. It waits out outages as a shard does; only its pause is its own, because an operator who presses
Ctrl-C during an outage must not wait for the end of it.
"""

from collections.abc import Callable
from typing import NamedTuple

from worker import wiring
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.adapters.aurora.dossiers import AuroraDossiers
from worker.adapters.aurora.epochs import AuroraEpochs
from worker.adapters.aurora.erasing import AuroraErasing
from worker.adapters.aurora.letters import AuroraLetters
from worker.adapters.aurora.registers import AuroraRegisters
from worker.adapters.aurora.rekeying import AuroraRekeying
from worker.adapters.aurora.retaining import AuroraRetaining
from worker.adapters.leases import DynamoLeases
from worker.adapters.redis_classes import RedisClasses
from worker.adapters.redis_epochs import RedisEpochs
from worker.batch import Source
from worker.domain.identity import Identity
from worker.history import EventStream
from worker.leases import LeaseTable
from worker.letters import DeadLetters
from worker.ports import Ledger, Metrics, Pause, Projection, Vault
from worker.reads import ClassStore, DisclosureLog
from worker.registers import Registers
from worker.settings import Settings
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, World
from worker.upkeep import Dossiers, Epochs, Erasing, PastEpochs, Rekeying, Retaining
from worker.wiring_aws import client


def world(settings: Settings, metrics: Metrics, pause: Pause) -> World:
    """The ports of one job's pipeline, on connections of its own."""
    books = wiring.ledger(settings)
    projection = wiring.projection(settings, books.epoch())
    return World(ledger=books, projection=projection, metrics=metrics, now=wiring.now, pause=pause)


def pipeline(settings: Settings, source: Source, given: World) -> Pipeline:
    """One source's way into ledger and projection, as a shard process has it."""
    return Pipeline(source, decoder(settings), given, wiring.policy(settings))


class Office(NamedTuple):
    """What the jobs work with that take out or give away whole records."""

    ledger: Ledger
    projection: Projection
    erasing: Erasing
    retaining: Retaining
    dossiers: Dossiers
    rekeying: Rekeying
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
            self.rekeying,
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
        AuroraRekeying(conninfo),
        AuroraDisclosures(conninfo),
        RedisClasses(wiring.redis_url(settings), epoch),
        wiring.identity(settings),
        wiring.vault(settings),
    )


class Restart(NamedTuple):
    """What a new epoch is begun with; only one session is opened, so that others can be told from it."""

    epochs: Epochs
    past: PastEpochs
    leases: LeaseTable
    prefix: Callable[[], str]


def restart(settings: Settings) -> Restart:
    """The parts of the job that begins an epoch."""
    return Restart(
        AuroraEpochs(wiring.database(settings)),
        RedisEpochs(wiring.redis_url(settings)),
        DynamoLeases(client(settings, "dynamodb"), settings.application_name),
        wiring.stream_prefix(settings),
    )


def decoder(settings: Settings) -> Decoder:
    """From records to events, as a shard process does it."""
    return Decoder(wiring.identity(settings), settings.realm)


def history(settings: Settings) -> EventStream:
    """The stream's past; it waits for nothing by itself, because it is a guest of the live readers."""
    from worker.adapters.kinesis_history import KinesisHistory

    return KinesisHistory(client(settings, "kinesis", attempts=1), settings.stream_name, wiring.now)


def letters(settings: Settings) -> DeadLetters:
    """The store of dead letters, on a connection of its own."""
    return AuroraLetters(wiring.database(settings))


def registers(settings: Settings) -> Registers:
    """The registers as they stand, on a connection of its own."""
    return AuroraRegisters(wiring.database(settings))
