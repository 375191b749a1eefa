"""The composition root: settings in, live objects out. The only importer of adapters.

Each function builds one thing and the two or three values it needs are picked out of the settings here.
Heavy libraries are imported where they are used, because the shard process must start fast.
"""

import functools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict

from worker.adapters.aurora import migrations
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.rights import Login
from worker.adapters.redis import RedisProjection
from worker.adapters.secrets import SecretsManager, keyring, master_key
from worker.adapters.secrets import conninfo as secret_conninfo
from worker.adapters.vault import EnvelopeVault, KmsMaster, LocalMaster
from worker.domain.errors import LedgerUnavailable, PoisonFlood, ProjectionUnavailable, Unavailable
from worker.domain.identity import Identity
from worker.domain.poison import PoisonLimit
from worker.kcl.heartbeat import HeartbeatSender
from worker.kcl.parent import Parent
from worker.kcl.record_processor import Heart, ShardProcessor
from worker.settings import Settings
from worker.stream.checkpointing import CheckpointPolicy
from worker.stream.decoding import Decoder, Limits
from worker.stream.pipeline import Pipeline, Policy, World
from worker.wiring_aws import client

if TYPE_CHECKING:
    from worker.adapters.kinesis import KinesisProducer
    from worker.local.edges import Edges

T = TypeVar("T")


def now() -> datetime:
    """The present, aware UTC."""
    return datetime.now(UTC)


def database(settings: Settings) -> Callable[[], str]:
    """What gives the connection string, read anew at every connect."""
    if settings.database_url is not None:
        url = settings.database_url
        return lambda: url
    secret_id = str(settings.database_secret_id)
    return lambda: _secrets(settings, LedgerUnavailable).database(secret_id)


def redis_url(settings: Settings) -> Callable[[], str]:
    """What gives the URL of Redis, read anew at every connect."""
    if settings.redis_url is not None:
        url = settings.redis_url
        return lambda: url
    secret_id = str(settings.redis_secret_id)
    return lambda: _secrets(settings, ProjectionUnavailable).redis(secret_id)


def identity(settings: Settings, remembered: int = 0) -> Identity:
    """Pseudonyms and seals under the configured keyring; so many students are remembered."""
    if settings.identity_keys_file is not None:
        return Identity(keyring(Path(settings.identity_keys_file).read_text()), remembered)
    text = _secrets(settings, Unavailable).text(str(settings.identity_keys_secret_id))
    return Identity(keyring(text), remembered)


def vault(settings: Settings) -> EnvelopeVault:
    """The dead letters' seal."""
    if settings.dead_letter_key_file is not None:
        return EnvelopeVault(LocalMaster(master_key(settings.dead_letter_key_file)), now)
    key_id = str(settings.dead_letter_kms_key_id)
    return EnvelopeVault(KmsMaster(client(settings, "kms"), key_id), now)


def ledger(settings: Settings, *, for_readers: bool = False) -> AuroraLedger:
    """The ledger on the writer endpoint; a reader's does not tell of connections ended while idle."""
    return AuroraLedger(
        database(settings),
        vault(settings),
        settings.dead_letter_days,
        kin=_kin(settings),
        replace_ended=for_readers,
    )


def _kin(settings: Settings) -> Callable[[bytes], frozenset[UUID]]:
    """All pseudonyms of a student whom the ledger does not know by one; the keyring is read once asked."""
    known = functools.cache(lambda: _as_ledger(lambda: identity(settings)))
    return lambda sealed_id: known().kin(sealed_id)


def _as_ledger(step: Callable[[], T]) -> T:
    """The same while the ledger is asked: an outage of the keyring is one of the ledger then."""
    try:
        return step()
    except Unavailable as outage:
        raise LedgerUnavailable(str(outage)) from None


def projection(settings: Settings, epoch: int) -> RedisProjection:
    """The projection of one ledger epoch."""
    return RedisProjection(redis_url(settings), epoch, settings.state_ttl_days * 86_400)


def producer(
    settings: Settings, give_up_after: float = 30.0, *, attempts: int = 4, seconds: float = 10
) -> "KinesisProducer":
    """The way into the stream; it gives up after so many seconds of refusals.

    Each of its calls is tried so often, and may take so many seconds.
    """
    from worker.adapters.kinesis import KinesisProducer

    kinesis = client(settings, "kinesis", attempts=attempts, seconds=seconds)
    return KinesisProducer(kinesis, settings.stream_name, give_up_after)


def stream_prefix(settings: Settings) -> Callable[[], str]:
    """What the sources of the stream begin with, asked of Kinesis once."""
    from worker.adapters.kinesis import source_prefix

    return functools.cache(lambda: source_prefix(client(settings, "kinesis"), settings.stream_name))


def secret(settings: Settings, secret_id: str) -> str:
    """A secret that is one text."""
    return _secrets(settings, Unavailable).text(secret_id)


def edges(settings: Settings) -> "Edges":
    """The ports that the local demo and the end-to-end tests hold."""
    from worker.local.edges import Edges

    books = ledger(settings)
    return Edges(
        books, projection(settings, books.epoch()), producer(settings), identity(settings), settings.realm
    )


def migrate(settings: Settings) -> list[str]:
    """Apply missing migrations, as the owner where one is given; returns their names.

    With `APPLICATION_SECRET` its user gets the rights of worker and API.
    """
    owner, application = settings.owner_secret, settings.application_secret
    conninfo = database(settings) if owner is None else functools.partial(secret_conninfo, owner)
    login = None
    if application is not None:
        parts = conninfo_to_dict(secret_conninfo(application))
        login = Login(str(parts["user"]), str(parts["password"]))
    return migrations.migrate(conninfo, login=login)


def pending_migrations(settings: Settings) -> list[str]:
    """The names of migrations not yet applied."""
    return migrations.pending(database(settings))


def policy(settings: Settings) -> Policy:
    """When the pipeline does what it need not do at once."""
    return Policy(
        limits=Limits(settings.transaction_events, settings.transaction_keys),
        checkpoint=CheckpointPolicy(timedelta(seconds=settings.checkpoint_seconds)),
        guard_every=timedelta(seconds=settings.guard_seconds),
        redis_patience=timedelta(seconds=settings.redis_patience_seconds),
        poison=PoisonLimit(settings.poison_share, settings.poison_window, settings.poison_streak),
    )


def shard_processor(settings: Settings) -> ShardProcessor:
    """One shard's callbacks over its pipeline."""
    parent = Parent()

    def build(shard_id: str) -> tuple[Pipeline, Heart]:
        heart = HeartbeatSender(settings.heartbeat_socket, shard_id)

        def pause(seconds: float, because: Exception) -> None:
            halted = isinstance(because, PoisonFlood)
            heart.beat("halted" if halted else "waiting", f"{type(because).__name__}: {because}")
            time.sleep(seconds)
            parent.must_live()

        books = ledger(settings)
        world = World(
            ledger=books,
            projection=projection(settings, _patiently(books.epoch, pause)),
            metrics=heart,
            now=now,
            pause=pause,
            alive=lambda: heart.beat("working"),
        )
        decoder = Decoder(_patiently(lambda: identity(settings), pause), settings.realm)
        return Pipeline(f"{settings.source_prefix}:{shard_id}", decoder, world, policy(settings)), heart

    return ShardProcessor(build)


def _patiently(step: Callable[[], T], pause: Callable[[float, Exception], None]) -> T:
    while True:
        try:
            return step()
        except Unavailable as outage:
            pause(random.uniform(0.1, 2.0), outage)


def _secrets(settings: Settings, unavailable: type[Unavailable]) -> SecretsManager:
    return SecretsManager(client(settings, "secretsmanager"), unavailable)
