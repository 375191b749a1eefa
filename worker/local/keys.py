"""Keys of the local stack: made once, kept in its folder, readable by their owner alone."""

import base64
import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from worker.domain.identity import Key, Keyring


def ensure_keys(directory: Path) -> dict[str, str]:
    """Make what is missing; the variables that name the files."""
    directory.mkdir(parents=True, exist_ok=True)
    identity, master = directory / "identity.json", directory / "dead-letters.key"
    signing, published = directory / "token-signing.pem", directory / "token-keys.json"
    if not identity.exists():
        ring = Keyring("local-1", {"local-1": Key(os.urandom(32), os.urandom(64))})
        _write(identity, msgspec.json.encode(ring))
    if not master.exists():
        _write(master, base64.b64encode(os.urandom(32)))
    if not signing.exists():
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        _write(signing, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if not published.exists():
        _write(published, _published(signing.read_bytes()))
    return {
        "IDENTITY_KEYS_FILE": str(identity),
        "DEAD_LETTER_KEY_FILE": str(master),
        "TOKEN_SIGNING_KEY_FILE": str(signing),
        "TOKEN_KEYS_FILE": str(published),
        "TOKEN_ISSUER": "https://edu-analytics.localhost",
        "TOKEN_CLIENTS": "edu-analytics-local",
    }


def _published(signing: bytes) -> bytes:
    """The key set that an identity provider would publish: the public half."""
    key = load_pem_private_key(signing, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        msg = "the local signing key is no RSA key; run `make clean`"
        raise ValueError(msg)
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return msgspec.json.encode({"keys": [{**jwk, "kid": "local-1", "alg": "RS256", "use": "sig"}]})


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
