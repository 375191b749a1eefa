"""Throttling on purpose: the emulator refuses a share of a service's calls, as AWS does when a limit is met.

Drills switch it on and off while everything runs. The order lies in a file of the emulator's folder, because
the emulator is another process.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

FILE = "refusals.json"

_TARGETS = {"Kinesis_20131202": "kinesis", "DynamoDB_20120810": "dynamodb"}
_BODY = orjson.dumps(
    {"__type": "ProvisionedThroughputExceededException", "message": "refused by the drill's order"}
)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def order(folder: Path, shares: Mapping[str, float]) -> None:
    """Refuse these shares (0 to 1) of the calls to `kinesis` and `dynamodb`; {} refuses nothing."""
    temporary = folder / f"{FILE}.new"
    temporary.write_bytes(orjson.dumps(dict(shares)))
    temporary.replace(folder / FILE)


def refusing(app: Wsgi, folder: Path) -> Wsgi:
    """The application behind the drill's order."""
    chance = random.Random()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        service = _TARGETS.get(environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[0])
        if service is None or chance.random() >= _ordered(folder).get(service, 0.0):
            return app(environ, start)
        environ["wsgi.input"].read()
        start("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
        return [_BODY]

    return answer


def _ordered(folder: Path) -> dict[str, float]:
    try:
        shares: dict[str, float] = orjson.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return shares
