"""`python -m worker token`: an identity for this machine's own stack, where no identity provider stands.

It signs with a key that only a local stack has, and refuses to exist anywhere else.
"""

import time
from pathlib import Path

import jwt

from worker.domain.errors import Fatal
from worker.settings import ApiSettings


def issue(
    settings: ApiSettings,
    *,
    subject: str,
    roles: list[str],
    courses: list[str],
    student_id: str | None,
    hours: float,
) -> str:
    """A token that this stack's API accepts.

    Raises:
        Fatal: not in local mode, or the key is missing.
    """
    if settings.mode != "local" or settings.token_signing_key_file is None:
        msg = "tokens are issued in local mode alone; elsewhere sign in at the identity provider"
        raise Fatal(msg)
    now = int(time.time())
    claims = {
        "iss": settings.token_issuer,
        "aud": settings.token_clients.split(",")[0].strip(),
        "sub": subject,
        "iat": now,
        "exp": now + int(hours * 3600),
        settings.claim_roles: roles,
        settings.claim_realm: settings.realm,
        settings.claim_courses: courses,
    }
    if student_id is not None:
        claims[settings.claim_student_id] = student_id
    key = Path(settings.token_signing_key_file).read_text()
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "local-1"})
