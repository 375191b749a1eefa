"""Who calls what of AWS: the emulator writes down each kind of call once, where the environment asks for it.

`RECORD_AWS_CALLS=calls.jsonl make up` answers which rights a process needs. Callers are told apart by the id
of their access key, which the emulator takes from anybody.
"""

import gzip
import io
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

VARIABLE = "RECORD_AWS_CALLS"
"""Names the file that the calls are appended to, one JSON object a line."""

_SERVICES = {"monitoring": "cloudwatch"}
_RESOURCES = ("IndexName", "TableName", "StreamName", "StreamARN", "SecretId", "KeyId", "Namespace")

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Call(NamedTuple):
    """One kind of call.

    Args:
        caller: the id of the access key that signed it.
        action: as a policy names it, `kinesis:PutRecords`.
        resource: what the request names, None where it names nothing.
    """

    caller: str
    action: str
    resource: str | None


def recording(app: Wsgi, file: Path) -> Wsgi:
    """The application, with each kind of call that it gets appended to `file` once."""
    seen: set[Call] = set()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        call = _call(environ, body)
        if call is not None and call not in seen:
            seen.add(call)
            with file.open("ab") as lines:
                lines.write(msgspec.json.encode(call._asdict()) + b"\n")
        return app(environ, start)

    return answer


def read(file: Path) -> set[Call]:
    """Every kind of call that was recorded; none where there is no file."""
    if not file.exists():
        return set()
    return {Call(**msgspec.json.decode(line)) for line in file.read_bytes().splitlines()}


def _call(environ: dict[str, Any], body: bytes) -> Call | None:
    """The call, None for a request that is not signed."""
    _, signed, credential = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")
    if not signed:
        return None
    caller, _, _, service, _ = credential.partition(",")[0].rsplit("/", 4)
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        body = gzip.decompress(body)
    operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    said: dict[str, Any] = {}
    if operation:
        with suppress(msgspec.DecodeError):  # CBOR, or nothing
            said = msgspec.json.decode(body, type=dict[str, Any])
    elif "/operation/" in environ.get("PATH_INFO", ""):
        operation = environ["PATH_INFO"].rpartition("/")[2]
    else:
        said = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        operation = said.get("Action", "unknown")
    resource = next((str(said[name]) for name in _RESOURCES if said.get(name)), None)
    return Call(caller, f"{_SERVICES.get(service, service)}:{operation}", resource)
