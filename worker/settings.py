"""Every setting of the worker, from the environment, once.

Only this module reads the environment and only `wiring` receives the whole object; everything else is given
the two values it needs. Wrong settings are reported all at once, because one message per start is a bad way
to spend a deployment.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

S = TypeVar("S", bound="Settings")

STATE_DIR = "/tmp/edu-analytics"  # noqa: S108

_MASK = "********"
_SECRET = {"secret": True}
_Millis = Annotated[int, Meta(ge=200, le=600_000)]
_Port = Annotated[int, Meta(ge=0, le=65_535)]


class SettingsError(Exception):
    """One or more settings are missing or wrong; the message lists every one of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("wrong settings:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Typed settings; each field is the environment variable of the same name in capitals."""

    mode: Annotated[Literal["local", "aws"], Meta(description="`local` or `aws`")] = "aws"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level of a log line")
    ] = "INFO"
    state_dir: Annotated[
        str, Meta(description="where properties, socket, worker id and the scripts' reports are kept")
    ] = STATE_DIR

    stream_name: Annotated[str, Meta(description="the Kinesis stream")] = "edu-analytics-stream"
    application_name: Annotated[
        str, Meta(description="KCL application: the lease table's name and the prefix of the two others")
    ] = "edu-analytics"
    aws_region: Annotated[str, Meta(description="AWS region")] = "ap-northeast-1"
    aws_endpoint_url: Annotated[str | None, Meta(description="emulator of Kinesis and DynamoDB")] = None
    kinesis_endpoint_url: Annotated[
        str | None, Meta(description="endpoint of Kinesis alone; by default `AWS_ENDPOINT_URL`")
    ] = None

    database_url: Annotated[
        str | None, Meta(description="PostgreSQL URL; or `DATABASE_SECRET_ID`", extra=_SECRET)
    ] = None
    database_secret_id: Annotated[
        str | None,
        Meta(description="Secrets Manager id with host, port, dbname, username, password, sslmode"),
    ] = None
    owner_secret: Annotated[
        str | None,
        Meta(description="for `migrate`: the secret of the database's owner as JSON", extra=_SECRET),
    ] = None
    application_secret: Annotated[
        str | None,
        Meta(
            description="for `migrate`: the secret, as JSON, of the user that worker and API enter as",
            extra=_SECRET,
        ),
    ] = None
    redis_url: Annotated[str | None, Meta(description="Redis URL; or `REDIS_SECRET_ID`", extra=_SECRET)] = (
        None
    )
    redis_secret_id: Annotated[
        str | None, Meta(description="Secrets Manager id with host, port, username, password, tls")
    ] = None
    identity_keys_file: Annotated[
        str | None, Meta(description="keyring of pseudonym and seal keys; or `IDENTITY_KEYS_SECRET_ID`")
    ] = None
    identity_keys_secret_id: Annotated[str | None, Meta(description="Secrets Manager id of the keyring")] = (
        None
    )
    dead_letter_key_file: Annotated[
        str | None, Meta(description="master key of dead letters; or `DEAD_LETTER_KMS_KEY_ID`")
    ] = None
    dead_letter_kms_key_id: Annotated[str | None, Meta(description="KMS key that wraps dead-letter keys")] = (
        None
    )
    realm: Annotated[
        str, Meta(min_length=1, max_length=256, description="issuer of raw student ids found in the stream")
    ] = "default"

    transaction_events: Annotated[
        int, Meta(ge=1, le=20_000, description="most events in one ledger transaction")
    ] = 2_000
    transaction_keys: Annotated[
        int, Meta(ge=1, le=5_000, description="most states touched by one ledger transaction")
    ] = 1_000
    checkpoint_seconds: Annotated[float, Meta(gt=0, le=60, description="least time between checkpoints")] = (
        3.0
    )
    guard_seconds: Annotated[
        float, Meta(gt=0, le=60, description="time between looks for writes that Redis lost")
    ] = 5.0
    redis_patience_seconds: Annotated[
        float,
        Meta(gt=0, le=600, description="how long Redis is retried before going on with the ledger alone"),
    ] = 30.0
    state_ttl_days: Annotated[
        int, Meta(ge=1, le=3_650, description="life of an untouched state in Redis")
    ] = 120
    dead_letter_days: Annotated[int, Meta(ge=1, le=365, description="life of a dead letter")] = 30

    health_host: Annotated[str, Meta(description="address of the health and metrics servers")] = "0.0.0.0"  # noqa: S104
    health_port: Annotated[_Port, Meta(description="`/healthz` and `/readyz`; 0 picks a free port")] = 8080
    metrics_port: Annotated[_Port, Meta(description="Prometheus; 0 picks a free port")] = 9102

    product_metrics_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="time between lines of the product's figures in the log")
    ] = 60.0

    worker_id: Annotated[
        str | None, Meta(description="KCL worker id; by default the ECS task id, else generated and kept")
    ] = None
    java_bin: Annotated[
        str | None, Meta(description="Java 17 or newer; by default the `java` of the PATH")
    ] = None
    java_archive: Annotated[
        str | None,
        Meta(description="the daemon's classes, as `python -m worker archive` wrote them: a faster start"),
    ] = None
    java_heap_mb: Annotated[int, Meta(ge=64, le=4_096, description="most heap of the daemon, MiB")] = 288
    max_leases: Annotated[int, Meta(ge=1, le=64, description="most shards one task takes")] = 4
    max_records: Annotated[int, Meta(ge=1, le=10_000, description="most records of one GetRecords call")] = (
        1_000
    )
    poll_millis: Annotated[_Millis, Meta(description="time between GetRecords calls of a shard")] = 250
    failover_millis: Annotated[_Millis, Meta(description="a lease unrenewed this long is taken over")] = (
        10_000
    )
    lease_assignment_millis: Annotated[_Millis, Meta(description="time between the leader's assignments")] = (
        1_000
    )
    shard_sync_millis: Annotated[_Millis, Meta(description="time between looks for new shards")] = 5_000
    shutdown_grace_millis: Annotated[_Millis, Meta(description="time for children to finish at SIGTERM")] = (
        45_000
    )
    poison_share: Annotated[
        float,
        Meta(gt=0, le=1, description="share of poison among the last `POISON_WINDOW` events that halts"),
    ] = 0.05
    poison_window: Annotated[int, Meta(ge=100, description="how many events that share is taken of")] = 10_000
    poison_streak: Annotated[int, Meta(ge=1, description="poison events in a row that halt a shard")] = 500

    give_back_seconds: Annotated[
        float, Meta(gt=0, le=60, description="longest wait at a stop for the leases to be passed on")
    ] = 5.0
    look_seconds: Annotated[float, Meta(ge=1, le=10, description="time between looks at KCL's tables")] = 5.0
    leader_patience_seconds: Annotated[
        float,
        Meta(
            ge=35,
            le=600,
            description="a Leader record unchanged this long is cleared; a live one beats every 30 s",
        ),
    ] = 45.0
    watchdog_silent_seconds: Annotated[
        float, Meta(ge=30, description="a working shard unheard this long restarts the daemon")
    ] = 90.0
    watchdog_stuck_seconds: Annotated[
        float,
        Meta(ge=30, description="iterator age growing this long with nothing read restarts the daemon"),
    ] = 300.0
    watchdog_lease_seconds: Annotated[
        float, Meta(ge=30, description="a lease of ours not renewed this long restarts the daemon")
    ] = 60.0
    crash_limit: Annotated[int, Meta(ge=1, description="daemon crashes before the task gives up")] = 10
    crash_window_seconds: Annotated[int, Meta(ge=1, description="the time in which they count")] = 600

    source_prefix: Annotated[
        str | None, Meta(description="set by the supervisor for its shard processes: stream ARN and creation")
    ] = None
    heartbeat_socket: Annotated[
        str | None, Meta(description="set by the supervisor for its shard processes")
    ] = None


class ApiSettings(Settings, frozen=True, kw_only=True):
    """The worker's settings, and those of the API beside them."""

    api_host: Annotated[str, Meta(description="address of the API")] = "0.0.0.0"  # noqa: S104
    api_port: Annotated[_Port, Meta(description="port of the API")] = 8080
    token_issuer: Annotated[str, Meta(min_length=1, description="the `iss` of people's tokens")]
    token_clients: Annotated[
        str, Meta(min_length=1, description="client ids or audiences of good tokens, separated by commas")
    ]
    token_keys_url: Annotated[str | None, Meta(description="JWKS of the issuer; or `TOKEN_KEYS_FILE`")] = None
    token_keys_file: Annotated[str | None, Meta(description="JWKS as a file")] = None
    token_signing_key_file: Annotated[
        str | None, Meta(description="private key of `python -m worker token`, in local mode only")
    ] = None
    sign_in_authorize_url: Annotated[
        str | None, Meta(description="where the page sends people to sign in; none: they bring a token")
    ] = None
    sign_in_token_url: Annotated[str | None, Meta(description="where the code of a sign-in is exchanged")] = (
        None
    )
    sign_in_client_id: Annotated[
        str | None, Meta(description="our client id there; by default the first of `TOKEN_CLIENTS`")
    ] = None
    public_url: Annotated[
        str | None, Meta(description="where people see the page; the provider returns to `/signed-in` there")
    ] = None
    claim_roles: Annotated[str, Meta(description="claim with the caller's roles")] = "roles"
    claim_realm: Annotated[str, Meta(description="claim with the realm of the student ids")] = "realm"
    claim_student_id: Annotated[str, Meta(description="claim with a student's own id")] = "student_id"
    claim_courses: Annotated[str, Meta(description="claim with a teacher's courses")] = "courses"
    claim_sources: Annotated[str, Meta(description="claim with the sources a producer may write")] = "sources"
    enrolments: Annotated[
        Literal["claim", "table"], Meta(description="where a teacher's courses come from")
    ] = "claim"
    producers: Annotated[
        str | None,
        Meta(description="JSON: realm and sources of each producer's role ARN; or `PRODUCERS_FILE`"),
    ] = None
    producers_file: Annotated[str | None, Meta(description="the same as a file")] = None
    gateway_secret: Annotated[
        str | None,
        Meta(description="what the gateway adds to each request; or `GATEWAY_SECRET_ID`", extra=_SECRET),
    ] = None
    gateway_secret_id: Annotated[str | None, Meta(description="Secrets Manager id of it")] = None
    linger_millis: Annotated[
        int, Meta(ge=0, le=50, description="how long an accepted event waits for others to share a record")
    ] = 20
    most_waiting_events: Annotated[
        int, Meta(ge=500, description="events that may wait for the stream; more get 503")
    ] = 20_000
    class_seconds: Annotated[
        float, Meta(ge=1, le=300, description="time between looks whether class figures have changed")
    ] = 5.0
    risk_inactive_days: Annotated[float, Meta(gt=0, description="at risk: days without activity")] = 7.0
    risk_ewma: Annotated[float, Meta(ge=0, le=1, description="at risk: `ewma` below this")] = 0.6
    risk_trend: Annotated[float, Meta(ge=-1, le=0, description="at risk: `trend` below this")] = -0.02
    risk_percentile: Annotated[float, Meta(ge=0, le=100, description="at risk: percentile below this")] = 15.0
    correct_from: Annotated[
        float, Meta(gt=0, le=1, description="ratio from which an attempt counts as correct")
    ] = 0.5


_ONE_OF = (
    ("database_url", "database_secret_id"),
    ("redis_url", "redis_secret_id"),
    ("identity_keys_file", "identity_keys_secret_id"),
    ("dead_letter_key_file", "dead_letter_kms_key_id"),
)


def load(environment: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Raises:
        SettingsError: lists every missing or wrong variable.
    """
    return _read(environment, Settings, _ONE_OF)


def load_api(environment: Mapping[str, str]) -> ApiSettings:
    """Read and check all settings of the API.

    Raises:
        SettingsError: lists every missing or wrong variable.
    """
    return _read(environment, ApiSettings, (*_ONE_OF, ("token_keys_url", "token_keys_file")))


def _read(environment: Mapping[str, str], form: type[S], one_of: Sequence[tuple[str, str]]) -> S:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(form):
        text = environment.get(variable(field.name), "")
        if not text:
            if field.required:
                problems.append(f"{variable(field.name)}: is missing ({describe(field)})")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{variable(field.name)}: {error} ({describe(field)})")
    for one, other in one_of:
        given = [variable(name) for name in (one, other) if environment.get(variable(name))]
        if len(given) != 1:
            both = f"{variable(one)} or {variable(other)}"
            problems.append(f"{both}: set exactly one of them, {len(given)} are set")
    if problems:
        raise SettingsError(problems)
    return form(**values)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return name.upper()


def describe(field: msgspec.structs.FieldInfo) -> str:
    """What a setting means."""
    return str(_meta(field, "description") or "")


def reference() -> str:
    """The table of all settings in the README, as Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(ApiSettings):
        default = "" if field.required or field.default is None else f"`{field.default}`"
        rows.append(f"| `{variable(field.name)}` | {default} | {describe(field)} |")
    return "\n".join(rows)


def masked(settings: Settings) -> dict[str, object]:
    """All settings by variable, with the passwords of URLs hidden."""
    shown: dict[str, object] = {}
    for field in msgspec.structs.fields(type(settings)):
        value = getattr(settings, field.name)
        secret = bool((_meta(field, "extra") or {}).get("secret"))
        shown[variable(field.name)] = _hide_password(value) if secret and value else value
    return shown


def _hide_password(url: str) -> str:
    """Scheme, user, host, port and path of a URL; the mask alone where a password may be anywhere else."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return _MASK
    if not parts.scheme or parts.fragment or "@" in parts.path + parts.query:
        return _MASK
    password = "" if parts.password is None else f":{_MASK}"
    user = "" if parts.username is None else f"{parts.username}{password}@"
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"


def _meta(field: msgspec.structs.FieldInfo, attribute: str) -> Any:
    for meta in getattr(field.type, "__metadata__", ()):
        if isinstance(meta, Meta) and getattr(meta, attribute) is not None:
            return getattr(meta, attribute)
    return None
