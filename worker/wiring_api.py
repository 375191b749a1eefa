"""The API's composition root: its settings in, a served application out.

The server starts the application in a process of its own, which reads the settings again: nothing live can
cross that border.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from litestar.types import ASGIApp
from prometheus_client import REGISTRY, start_http_server

from worker import logs, wiring
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.adapters.aurora.records import AuroraRecords
from worker.adapters.redis_classes import RedisClasses
from worker.api.app import build
from worker.api.classes import Classes, Rules
from worker.api.collecting import Collector
from worker.api.desk import Clerk, Desk
from worker.api.freshness import Freshness
from worker.api.ingest import Edge
from worker.api.scores import Scores
from worker.api.service import Service
from worker.api.signing_in import Provider, Refused, SigningIn
from worker.api.tokens import ClaimNames, Doorkeeper, Keys, Producer, TokenPolicy
from worker.api.views import Views
from worker.domain.errors import Fatal
from worker.domain.risk import Thresholds
from worker.product_metrics import API, Minute, told_each_minute
from worker.settings import ApiSettings, load_api
from worker.stream.reading import ScoreReader

_log = logging.getLogger(__name__)
_FETCH_SECONDS = 5.0
_MOST_ANSWER = 1024 * 1024
_HEADERS_MILLIS = 10_000
_STOP_SECONDS = 30
_YOUNG_OBJECTS = 20_000
_SWITCH_SECONDS = 0.0002
_READ_LINGER_SECONDS = 0.003
_PR_SET_PDEATHSIG = 1
_any = msgspec.json.Decoder()
_producers_decoder = msgspec.json.Decoder(dict[str, Producer])


def run(settings: ApiSettings) -> int:
    """Serve until SIGTERM or SIGINT; exit code 0 after a graceful stop."""
    server = Granian(
        "worker.wiring_api:application",
        factory=True,
        address=settings.api_host,
        port=settings.api_port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_MILLIS),
        workers_kill_timeout=_STOP_SECONDS,
        log_access=False,
        # one thread for all of the HTTP: on the core that it shares with Python, more of them only take turns
        runtime_mode=RuntimeModes.st,
        log_enabled=False,
    )
    server.serve()
    return 0


def application() -> ASGIApp:
    """What the server calls in its own process."""
    # a server that was killed must not leave this process behind, serving on its port
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    settings = load_api(os.environ)
    logs.configure(settings.log_level, role="api")
    start_http_server(settings.metrics_port, settings.health_host)
    return build(lambda: _settled(service(settings)))


def _settled(made: Service) -> Service:
    """Keep the garbage collector away from what lives as long as the process, and let it look less often.

    It cost a tenth of a request and held all others up meanwhile; a request leaves hardly a cycle behind.

    And threads give way to one another sooner. A clerk whose commit is done needs Python again, and while the
    loop is busy it waits for as long as threads may hold it, several times a group: with 5 milliseconds that
    was three quarters of a read.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    return made


def service(settings: ApiSettings) -> Service:
    """All parts of one API process.

    Raises:
        Unavailable: PostgreSQL or a secret cannot be read; the platform starts the process again.
    """
    books = wiring.ledger(settings)
    try:
        epoch = books.epoch()
    finally:
        books.close()
    identity = wiring.identity(settings)
    thresholds = Thresholds(
        settings.risk_inactive_days, settings.risk_ewma, settings.risk_trend, settings.risk_percentile
    )
    closes = ExitStack()
    minute = Minute(REGISTRY, API, settings.application_name, "api")
    closes.enter_context(told_each_minute(minute, time.time, settings.product_metrics_seconds))
    watching = wiring.projection(settings, epoch)
    closes.callback(watching.close)
    producer = wiring.producer(settings)
    prefix = wiring.stream_prefix(settings)
    freshness = Freshness(
        watching.watermarks,
        lambda: frozenset(f"{prefix()}:{shard.shard_id}" for shard in producer.open_shards()),
        wiring.now,
    )
    desk = Desk(lambda: _clerk(settings, epoch), linger_seconds=_READ_LINGER_SECONDS)
    classes = Classes(Rules(thresholds, settings.correct_from), wiring.now)
    return Service(
        doorkeeper=doorkeeper(settings),
        identity=identity,
        edge=Edge(identity, wiring.now),
        collector=Collector(
            # somebody waits for the answer, and a refusal costs them only a repetition
            wiring.producer(settings, give_up_after=5.0, attempts=1, seconds=4.0).send,
            settings.linger_millis / 1000,
            settings.most_waiting_events,
        ),
        desk=desk,
        classes=classes,
        scores=Scores(desk, classes, freshness, thresholds, wiring.now),
        views=Views(desk, classes, freshness, identity, wiring.now),
        freshness=freshness,
        signing_in=SigningIn(_provider(settings), _post),
        now=wiring.now,
        class_seconds=settings.class_seconds,
        close=closes.close,
    )


def doorkeeper(settings: ApiSettings) -> Doorkeeper:
    """Who checks identities.

    Raises:
        Fatal: who may produce cannot be read.
    """
    policy = TokenPolicy(
        settings.token_issuer,
        frozenset(part.strip() for part in settings.token_clients.split(",") if part.strip()),
        ClaimNames(
            settings.claim_roles,
            settings.claim_realm,
            settings.claim_student_id,
            settings.claim_courses,
            settings.claim_sources,
        ),
        settings.realm,
    )
    secret = settings.gateway_secret
    if secret is None and settings.gateway_secret_id is not None:
        secret = wiring.secret(settings, settings.gateway_secret_id)
    return Doorkeeper(
        policy,
        Keys(_keys(settings)),
        producers=_producers(settings),
        gateway_secret=secret,
        enrolled=_enrolled(settings) if settings.enrolments == "table" else None,
    )


def _provider(settings: ApiSettings) -> Provider | None:
    """Where people sign in.

    Raises:
        Fatal: half of it is set, or a URL is not https.
    """
    given = (settings.sign_in_authorize_url, settings.sign_in_token_url, settings.public_url)
    if not any(given):
        return None
    authorize_url, token_url, public_url = given
    if not (authorize_url and token_url and public_url):
        msg = "set all of SIGN_IN_AUTHORIZE_URL, SIGN_IN_TOKEN_URL and PUBLIC_URL, or none"
        raise Fatal(msg)
    if settings.mode != "local" and not all(str(url).startswith("https://") for url in given):
        msg = "SIGN_IN_AUTHORIZE_URL, SIGN_IN_TOKEN_URL and PUBLIC_URL must begin with https://"
        raise Fatal(msg)
    client_id = settings.sign_in_client_id or settings.token_clients.split(",")[0].strip()
    return Provider(authorize_url, token_url, client_id, public_url.rstrip("/"))


def _post(url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    """A form to the identity provider, and its answer; `Refused` where it says no."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    request = Request(url, data=urlencode(form).encode(), headers=headers)  # noqa: S310 - checked at the start
    try:
        with urlopen(request, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - as above
            found: Mapping[str, Any] = _any.decode(answer.read(_MOST_ANSWER))
            return found
    except HTTPError as error:
        with error:
            if error.code < 500:
                raise Refused from None
            raise


def published_keys(settings: ApiSettings) -> Mapping[str, Any]:
    """The key set that the issuer publishes now."""
    return _keys(settings)()


def _clerk(settings: ApiSettings, epoch: int) -> Clerk:
    books = wiring.ledger(settings, for_readers=True)
    projection = wiring.projection(settings, epoch)
    conninfo = wiring.database(settings)
    records, disclosures = AuroraRecords(conninfo), AuroraDisclosures(conninfo)
    classes = RedisClasses(wiring.redis_url(settings), epoch)

    def close() -> None:
        for port in (books, projection, records, disclosures, classes):
            port.close()

    return Clerk(ScoreReader(books, projection), records, disclosures, classes, close)


def _enrolled(settings: ApiSettings) -> Callable[[str], Any]:
    def courses(subject: str) -> Any:
        # any thread may ask, and seldom: tokens are remembered
        records = AuroraRecords(wiring.database(settings))
        try:
            return records.enrolled(subject)
        finally:
            records.close()

    return courses


def _keys(settings: ApiSettings) -> Callable[[], Mapping[str, Any]]:
    url, file = settings.token_keys_url, settings.token_keys_file
    if url is None:
        return lambda: _any.decode(Path(str(file)).read_bytes())
    if not url.startswith("https://"):
        msg = "TOKEN_KEYS_URL must begin with https://"
        raise Fatal(msg)

    def fetch() -> Mapping[str, Any]:
        with urlopen(url, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - https alone, checked above
            found: Mapping[str, Any] = _any.decode(answer.read())
            return found

    return fetch


def _producers(settings: ApiSettings) -> Mapping[str, Producer]:
    if settings.producers is not None and settings.producers_file is not None:
        msg = "set PRODUCERS or PRODUCERS_FILE, not both"
        raise Fatal(msg)
    try:
        if settings.producers_file is not None:
            text = Path(settings.producers_file).read_text()
        else:
            text = settings.producers or "{}"
        return _producers_decoder.decode(text)
    except (OSError, ValueError) as error:
        msg = f"PRODUCERS or PRODUCERS_FILE cannot be read ({type(error).__name__}); see docs/api.md"
        raise Fatal(msg) from None
