"""`python -m worker check`: every dependency looked at, what is wrong, and what to do about it.

Meant for the first hour in an account of one's own: it changes nothing, asks every service the question that
the worker will ask, and goes on after a failure so that one run shows everything.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from worker import wiring, wiring_aws
from worker.settings import ApiSettings, Settings, masked

_TABLES = ("", "-CoordinatorState", "-WorkerMetricStats")


class Finding(NamedTuple):
    """One dependency: what was found, or what is wrong and what to do next."""

    name: str
    good: bool
    found: str
    advice: str = ""


class Wrong(Exception):
    """A dependency answers, but is not as the worker needs it."""


class Check(NamedTuple):
    """One question to one dependency; `ask` returns what was found, or raises."""

    name: str
    ask: Callable[[Settings], str]
    advice: str


def report(settings: Settings, say: Callable[[str], None]) -> int:
    """Print the settings and every finding; exit code 0 when all is good, else 1."""
    say("settings")
    for name, value in masked(settings).items():
        say(f"  {name:<26} {'-' if value is None else value}")
    say("dependencies")
    good = True
    for finding in findings(settings):
        good = good and finding.good
        say(f"  {'ok   ' if finding.good else 'WRONG'} {finding.name:<22} {finding.found}")
        if not finding.good:
            say(f"        → {finding.advice}")
    say("everything is in place" if good else "not ready: see the lines marked WRONG")
    return 0 if good else 1


def findings(settings: Settings) -> Iterator[Finding]:
    """Ask every dependency, one after the other."""
    for check in (*CHECKS, *(API_CHECKS if isinstance(settings, ApiSettings) else ())):
        try:
            yield Finding(check.name, good=True, found=check.ask(settings))
        except Exception as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__doc__ or ""
            yield Finding(
                check.name, good=False, found=f"{type(error).__name__}: {text}", advice=check.advice
            )


def _identity_keys(settings: Settings) -> str:
    identity = wiring.identity(settings)
    sealed = identity.identify("check", settings.realm).sealed_id
    if identity.open(sealed) != (settings.realm, "check"):
        msg = "an id that was sealed does not open"
        raise Wrong(msg)
    return "pseudonym and seal keys work"


def _dead_letter_key(settings: Settings) -> str:
    return f"sealed a payload of {len(wiring.vault(settings).seal(b'check'))} bytes"


def _postgres(settings: Settings) -> str:
    ledger = wiring.ledger(settings)
    try:
        return f"{ledger.server_version()}, the writer"
    finally:
        ledger.close()


def _schema(settings: Settings) -> str:
    pending = wiring.pending_migrations(settings)
    if pending:
        msg = f"not applied: {', '.join(pending)}"
        raise Wrong(msg)
    return "every migration applied"


def _redis(settings: Settings) -> str:
    projection = wiring.projection(settings, epoch=1)
    try:
        policy = projection.eviction_policy()
    finally:
        projection.close()
    if policy not in (None, "volatile-lru", "noeviction"):
        msg = f"maxmemory-policy is {policy}: it could evict the markers that prove lost writes"
        raise Wrong(msg)
    return f"answers, maxmemory-policy {policy or 'not told'}"


def _stream(settings: Settings) -> str:
    shards = wiring.producer(settings).open_shards()
    return f"{settings.stream_name} has {len(shards)} open shards"


def _tables(settings: Settings) -> str:
    dynamodb = wiring_aws.client(settings, "dynamodb")
    names = [settings.application_name + suffix for suffix in _TABLES]
    for name in names:
        status = dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]
        if status != "ACTIVE":
            msg = f"{name} is {status}"
            raise Wrong(msg)
    return ", ".join(names)


def _java(settings: Settings) -> str:
    java = settings.java_bin or "java"
    if shutil.which(java) is None:
        msg = f"{java} is not there"
        raise Wrong(msg)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    return answer.stderr.splitlines()[0]


def _daemon(_: Settings) -> str:
    package = importlib.util.find_spec("amazon_kclpy")
    places = (package.submodule_search_locations or []) if package else []
    jars = [jar for place in places for jar in Path(place).glob("jars/*.jar")]
    if not jars:
        msg = "its jars are missing"
        raise Wrong(msg)
    return f"{len(jars)} jars"


def _token_keys(settings: Settings) -> str:
    from worker import wiring_api

    if not isinstance(settings, ApiSettings):
        msg = "these are not the API's settings"
        raise Wrong(msg)
    published = wiring_api.published_keys(settings)
    names = [str(key.get("kid")) for key in published.get("keys", []) if isinstance(key, dict)]
    if not names:
        msg = "the issuer publishes no key"
        raise Wrong(msg)
    wiring_api.doorkeeper(settings)
    return f"{settings.token_issuer} publishes {', '.join(names)}"


CHECKS: Sequence[Check] = (
    Check(
        "identity keys", _identity_keys, "make a keyring of 32 + 64 random bytes in base64; see the README"
    ),
    Check(
        "dead-letter key", _dead_letter_key, "give 32 bytes of base64, or a KMS key with kms:GenerateDataKey"
    ),
    Check("PostgreSQL", _postgres, "check the URL or secret, the security group and that it is the writer"),
    Check("ledger schema", _schema, "run: python -m worker migrate"),
    Check("Redis", _redis, "check the URL or secret; set maxmemory-policy to volatile-lru"),
    Check("Kinesis stream", _stream, "check STREAM_NAME, AWS_REGION and kinesis:ListShards"),
    Check(
        "KCL tables", _tables, "create the three tables, or allow dynamodb:CreateTable for the first start"
    ),
    Check("Java", _java, "install Java 17 or newer, or set JAVA_BIN"),
    Check("KCL daemon", _daemon, "pip install amazon_kclpy again: it downloads its jars when installed"),
)

API_CHECKS: Sequence[Check] = (
    Check(
        "token keys",
        _token_keys,
        "check TOKEN_KEYS_URL or TOKEN_KEYS_FILE, PRODUCERS and the way out to the identity provider",
    ),
)
"""Asked besides where the settings are the API's."""
