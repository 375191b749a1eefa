"""An API over twins of every port: the same routes and services, and no server."""

import json
import time
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.conftest import IDENTITY, NOW, batch
from worker.adapters.memory import (
    MemoryClasses,
    MemoryDisclosures,
    MemoryLedger,
    MemoryProducer,
    MemoryProjection,
    MemoryRecords,
)
from worker.adapters.memory.disclosures import Book
from worker.api.classes import Classes, Rules
from worker.api.collecting import Collector
from worker.api.desk import Clerk, Desk
from worker.api.freshness import Freshness
from worker.api.ingest import Edge
from worker.api.scores import Scores
from worker.api.service import Service
from worker.api.signing_in import SigningIn
from worker.api.tokens import ClaimNames, Doorkeeper, Keys, Producer, TokenPolicy
from worker.api.views import Views
from worker.domain.event import ScoreEvent
from worker.domain.risk import Thresholds
from worker.stream.reading import ScoreReader

ISSUER = "https://issuer.example"
CLIENT = "the-page"
SECRET = "only the gateway knows"
ARN = "arn:aws:iam::123456789012:role/lms"
SIGNING = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
POLICY = TokenPolicy(ISSUER, frozenset({CLIENT}), ClaimNames(), "default")


def published(kid: str = "k1", key: rsa.RSAPrivateKey = SIGNING, **more: str) -> dict[str, Any]:
    """The JWKS of one key."""
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"keys": [{**jwk, "kid": kid, "alg": "RS256", "use": "sig", **more}]}


def token(roles: object = (), /, *, key: Any = SIGNING, kid: str = "k1", **claims: Any) -> str:
    """A token that holds for an hour, unless a claim says otherwise; None takes a claim away.

    Signed as bytes: what makes claims elsewhere is not as careful as our library.
    """
    standard: dict[str, Any] = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "someone",
        "exp": int(time.time()) + 3600,
        "roles": roles,
    }
    whole = {name: value for name, value in {**standard, **claims}.items() if value is not None}
    return jwt.api_jws.encode(json.dumps(whole).encode(), key, algorithm="RS256", headers={"kid": kid})


def bearer(*roles: str, **claims: Any) -> dict[str, str]:
    """The header of such a token."""
    return {"Authorization": f"Bearer {token(list(roles), **claims)}"}


class House:
    """Twins of every port, and the service over them."""

    def __init__(self, *, most_waiting: int = 20_000) -> None:
        self.ledger = MemoryLedger()
        self.ledger.open_source("test")
        self.projection = MemoryProjection()
        self.records = MemoryRecords(self.ledger, lambda: NOW)
        self.classes = MemoryClasses()
        self.book = Book()
        self.disclosures: list[MemoryDisclosures] = []
        self.producer = MemoryProducer()
        self.sequence = 0
        self.most_waiting = most_waiting
        self.producers = {ARN: Producer("default", ["lms"])}
        self.present = NOW

    def learn(self, *events: ScoreEvent) -> None:
        """Put attempts into the ledger."""
        self.sequence += 1
        self.ledger.commit(batch(*events, sequence=self.sequence))

    def hire(self) -> Clerk:
        log = MemoryDisclosures(self.book, self.records.versions_of)
        log.away = self.ledger.away  # threads hire when their first request comes: maybe only after a loss
        self.disclosures.append(log)
        return Clerk(ScoreReader(self.ledger, self.projection), self.records, log, self.classes, lambda: None)

    def lose(self, *, ledger: bool = False, redis: bool = False) -> None:
        """Take dependencies away."""
        self.ledger.away = ledger
        for log in self.disclosures:
            log.away = ledger
        self.projection.away = self.classes.away = redis

    def now(self) -> datetime:
        return self.present

    def service(self) -> Service:
        thresholds = Thresholds()
        freshness = Freshness(self.projection.watermarks, lambda: frozenset({"shard"}), self.now)
        desk = Desk(self.hire)
        classes = Classes(Rules(thresholds), self.now)
        return Service(
            doorkeeper=Doorkeeper(POLICY, Keys(published), producers=self.producers, gateway_secret=SECRET),
            identity=IDENTITY,
            edge=Edge(IDENTITY, self.now),
            collector=Collector(self.producer.send, 0.0, self.most_waiting),
            desk=desk,
            classes=classes,
            scores=Scores(desk, classes, freshness, thresholds, self.now),
            views=Views(desk, classes, freshness, IDENTITY, self.now),
            freshness=freshness,
            signing_in=SigningIn(None, lambda _url, _form: {}),
            now=self.now,
            class_seconds=3600,
        )
