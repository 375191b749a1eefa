"""What jobs are wired from: the parts of a shard process, for a source of the job's own.

A job runs beside live traffic and through the same pipeline, so that nothing can be true of one and false of
the other. It waits out outages as a shard does; only its pause is its own, because an operator who presses
Ctrl-C during an outage must not wait for the end of it.
"""

from worker import wiring
from worker.adapters.aurora.letters import AuroraLetters
from worker.adapters.aurora.registers import AuroraRegisters
from worker.history import EventStream
from worker.letters import DeadLetters
from worker.ports import Metrics, Pause, Source
from worker.registers import Registers
from worker.settings import Settings
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, World


def world(settings: Settings, metrics: Metrics, pause: Pause) -> World:
    """The ports of one job's pipeline, on connections of its own."""
    books = wiring.ledger(settings)
    projection = wiring.projection(settings, books.epoch())
    return World(ledger=books, projection=projection, metrics=metrics, now=wiring.now, pause=pause)


def pipeline(settings: Settings, source: Source, given: World) -> Pipeline:
    """One source's way into ledger and projection, as a shard process has it."""
    return Pipeline(source, decoder(settings), given, wiring.policy(settings))


def decoder(settings: Settings) -> Decoder:
    """From records to events, as a shard process does it."""
    return Decoder(wiring.identity(settings), settings.realm)


def history(settings: Settings) -> EventStream:
    """The stream's past; it waits for nothing by itself, because it is a guest of the live readers."""
    from worker.adapters.kinesis_history import KinesisHistory

    return KinesisHistory(wiring.client(settings, "kinesis", attempts=1), settings.stream_name, wiring.now)


def letters(settings: Settings) -> DeadLetters:
    """The store of dead letters, on a connection of its own."""
    return AuroraLetters(wiring.database(settings))


def registers(settings: Settings) -> Registers:
    """The registers as they stand, on a connection of its own."""
    return AuroraRegisters(wiring.database(settings))
