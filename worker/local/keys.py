"""Keys of the local stack: made once, kept in its folder, readable by their owner alone."""

import base64
import os
from pathlib import Path

import msgspec

from worker.domain.identity import Key, Keyring


def ensure_keys(directory: Path) -> dict[str, str]:
    """Make what is missing; the variables that name the files."""
    directory.mkdir(parents=True, exist_ok=True)
    identity, master = directory / "identity.json", directory / "dead-letters.key"
    if not identity.exists():
        ring = Keyring("local-1", {"local-1": Key(os.urandom(32), os.urandom(64))})
        _write(identity, msgspec.json.encode(ring))
    if not master.exists():
        _write(master, base64.b64encode(os.urandom(32)))
    return {"IDENTITY_KEYS_FILE": str(identity), "DEAD_LETTER_KEY_FILE": str(master)}


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
