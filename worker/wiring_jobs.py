"""What jobs are wired from: the parts of a shard process, for a source of the job's own.

A job runs beside live traffic and through the same pipeline, so that nothing can be true of one and false of
the other. It waits out outages as a shard does; only its pause is its own, because an operator who presses
Ctrl-C during an outage must not wait for the end of it.
"""

from worker import wiring
from worker.ports import Metrics, Pause, Source
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
    decoder = Decoder(wiring.identity(settings), settings.realm)
    return Pipeline(source, decoder, given, wiring.policy(settings))
