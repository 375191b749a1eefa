"""Settings from the environment: all that is wrong at once, and nothing secret in what is shown."""

import json
from typing import get_args

import msgspec
import pytest

from worker.settings import Settings, SettingsError, describe, load, masked, variable

LEAST = {
    "DATABASE_URL": "postgresql://app:s3cret@db:5432/scores",
    "REDIS_URL": "redis://:s3cret@cache:6379/0",
    "IDENTITY_KEYS_FILE": "keys.json",
    "DEAD_LETTER_KEY_FILE": "master.key",
}
FIELDS = msgspec.structs.fields(Settings)


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environment)
    assert str(caught.value) == "wrong settings:\n" + "\n".join(f"  {line}" for line in caught.value.problems)
    return caught.value.problems


def test_the_least_that_is_needed_and_the_defaults() -> None:
    settings = load(LEAST)
    assert settings.database_url == LEAST["DATABASE_URL"]
    assert settings.database_secret_id is None
    assert (settings.mode, settings.log_level, settings.realm) == ("aws", "INFO", "default")
    assert (settings.transaction_events, settings.transaction_keys) == (2_000, 1_000)
    assert (settings.checkpoint_seconds, settings.redis_patience_seconds) == (3.0, 30.0)
    assert (settings.health_port, settings.metrics_port) == (8080, 9102)


def test_every_field_is_read_from_its_own_variable() -> None:
    changed = {
        "mode": "local",
        "log_level": "DEBUG",
        "checkpoint_seconds": "1.5",
        "health_host": "127.0.0.1",
        "health_port": "0",
        "max_leases": "64",
        "realm": "Schule Nord",
    }
    settings = load(LEAST | {variable(name): text for name, text in changed.items()})
    assert {name: str(getattr(settings, name)) for name in changed} == changed
    assert settings.checkpoint_seconds == 1.5
    assert settings.max_leases == 64


def test_what_is_not_a_setting_is_not_read() -> None:
    assert load(LEAST | {"PATH": "/bin", "mode": "local", "TRANSACTION_EVENT": "x"}) == load(LEAST)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: str(field.name))
def test_empty_is_unset(field: msgspec.structs.FieldInfo) -> None:
    if variable(field.name) not in LEAST:
        assert load(LEAST | {variable(field.name): ""}) == load(LEAST)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: str(field.name))
def test_every_setting_says_what_it_means(field: msgspec.structs.FieldInfo) -> None:
    assert describe(field).strip()


PAIRS = [
    ("DATABASE_URL", "DATABASE_SECRET_ID"),
    ("REDIS_URL", "REDIS_SECRET_ID"),
    ("IDENTITY_KEYS_FILE", "IDENTITY_KEYS_SECRET_ID"),
    ("DEAD_LETTER_KEY_FILE", "DEAD_LETTER_KMS_KEY_ID"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_each_pair_exactly_one_is_set(one: str, other: str) -> None:
    rest = {name: value for name, value in LEAST.items() if name != one}
    assert problems(rest) == [f"{one} or {other}: set exactly one of them, 0 are set"]
    assert problems(rest | {one: "", other: ""}) == [f"{one} or {other}: set exactly one of them, 0 are set"]
    assert problems(rest | {one: "x", other: "y"}) == [
        f"{one} or {other}: set exactly one of them, 2 are set"
    ]
    assert getattr(load(rest | {other: "y"}), other.lower()) == "y"


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = problems(
        {"MODE": "cloud", "HEALTH_PORT": "http", "MAX_LEASES": "0", "REALM": "r" * 257} | {"REDIS_URL": "x"}
    )
    assert [line.partition(":")[0] for line in found] == [
        "MODE",
        "REALM",
        "HEALTH_PORT",
        "MAX_LEASES",
        *(f"{one} or {other}" for one, other in PAIRS if one != "REDIS_URL"),
    ]


WRONG = {
    "MODE": ["AWS", "prod", " aws"],
    "LOG_LEVEL": ["info", "TRACE", "10"],
    "REALM": ["r" * 257],
    "TRANSACTION_EVENTS": [
        "0",
        "-1",
        "20001",
        "1.5",
        "many",
        "1_000",
        " 5",
        "5 ",
        "1e999",
        "9" * 5_000,
        "true",
    ],
    "CHECKPOINT_SECONDS": ["0", "-1", "60.1", "nan", "inf", "-inf", "1e999", "soon", "true"],
    "HEALTH_PORT": ["-1", "65536", "http", "\uff18\uff10"],
    "POLL_MILLIS": ["199", "600001"],
    "CRASH_LIMIT": ["0"],
    "JAVA_HEAP_MB": ["63", "4097"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_named_with_what_it_should_be(name: str, text: str) -> None:
    (problem,) = problems(LEAST | {name: text})
    assert problem.startswith(f"{name}: ")
    assert describe(next(field for field in FIELDS if variable(field.name) == name)) in problem


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HEALTH_PORT", "65535"),
        ("CHECKPOINT_SECONDS", "60"),
        ("POLL_MILLIS", "200"),
        ("TRANSACTION_EVENTS", "20000"),
    ],
)
def test_the_ends_of_the_ranges(name: str, text: str) -> None:
    assert getattr(load(LEAST | {name: text}), name.lower()) == float(text)


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        load(LEAST).mode = "local"  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunter2@db/scores",
        "postgresql://app:hunter2@db:5432,db2:5432/scores?sslmode=require",
        "postgresql://app:hunter%402@db/scores",
        "postgresql://app:hunter%2F2@db/scores",
        "postgresql://app:hunter@2@db/scores",
        "postgresql://hunter2:hunter2@hunter2/hunter2",
        "redis://:hunter2@cache",
        "rediss://app:hunter2@cache:6379/0",
        "unix://:hunter2@/run/redis.sock",
        "postgresql://app:hunter#2@db/scores",
        "postgresql://app:hunter?2@db/scores",
        "postgresql://app:hunter/2@db/scores",
        "postgresql://db/scores?user=app&password=hunter2",
        "host=db user=app password=hunter2",
        "redis://cache:6379/0?password=hunter2",
        "redis://app:other@cache:6379/0?password=hunter2",
        "postgresql://app:hunter2@[::1/scores",
        "postgresql://app:hunter\uff202@db/scores",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    shown = str(masked(load(LEAST | {"DATABASE_URL": url}))["DATABASE_URL"])
    for secret in (":hunter", "=hunter", "%402", "%2F2", "#2", "?2"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:hunter2@db:5432/scores", "postgresql://app:********@db:5432/scores"),
        ("postgresql://app@db/scores", "postgresql://app@db/scores"),
        ("postgresql:///scores", "postgresql:///scores"),
        ("postgresql://db:5432/scores", "postgresql://db:5432/scores"),
    ],
)
def test_what_is_not_secret_stays_readable(url: str, shown: str) -> None:
    assert masked(load(LEAST | {"DATABASE_URL": url}))["DATABASE_URL"] == shown


def test_everything_else_is_shown_as_it_is() -> None:
    settings = load(LEAST | {"MAX_LEASES": "2"})
    shown = masked(settings)
    assert list(shown) == [variable(field.name) for field in FIELDS]
    assert shown["MAX_LEASES"] == 2
    assert shown["WORKER_ID"] is None
    json.dumps(shown)
    hidden = {name for name, value in shown.items() if value != getattr(settings, name.lower())}
    assert hidden == {"DATABASE_URL", "REDIS_URL"}


def test_the_modes() -> None:
    (mode,) = (field for field in FIELDS if field.name == "mode")
    assert get_args(get_args(mode.type)[0]) == ("local", "aws")
