"""How a request is let in: by a token, or signed as producers behind the platform's gateway sign."""

from collections.abc import Callable, Mapping

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scripts.frame.script import WrongArguments

Sign = Callable[[str, str, bytes], Mapping[str, str]]
"""The headers that let a request in: of method, URL and body."""

_GATEWAY = "execute-api"


def bearer(token: str) -> Sign:
    """Lets requests in by a token."""
    return lambda _method, _url, _body: {"Authorization": f"Bearer {token}"}


def sigv4(region: str) -> Sign:
    """Signs with the AWS credentials of the environment, asked anew for each request: they expire.

    Raises:
        WrongArguments: there are none.
    """
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise WrongArguments("--sigv4 needs AWS credentials: a profile, the variables, or a task's role")

    def sign(method: str, url: str, body: bytes) -> Mapping[str, str]:
        request = AWSRequest(method, url, data=body)
        SigV4Auth(credentials.get_frozen_credentials(), _GATEWAY, region).add_auth(request)
        return dict(request.headers.items())

    return sign
