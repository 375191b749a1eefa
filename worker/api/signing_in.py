"""How a person gets a token: the identity provider's own sign-in, by authorization code with PKCE (RFC 7636).

The exchange happens here and not in the page, so that the page talks to nobody but its own origin. What must
survive the way to the provider and back, the verifier and the state, travels in one cookie of five minutes
that scripts cannot read; nothing is kept on the server, so any process may finish what another one began.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from worker.api.problems import Away, BadRequest, NotFound

COOKIE = "sign-in"
COOKIE_SECONDS = 300
_RETURN = "/signed-in"
_BYTES = 32


class Provider(NamedTuple):
    """An identity provider that knows our page.

    Args:
        authorize_url: where people are sent.
        token_url: where a code is exchanged.
        client_id: who we are there; a public client without a secret.
        public_url: where the page stands as people see it, without a slash at its end.
        scope: what is asked for.
    """

    authorize_url: str
    token_url: str
    client_id: str
    public_url: str
    scope: str = "openid"


class Departure(NamedTuple):
    """Where a person is sent, and the cookie's value that goes along."""

    location: str
    cookie: str


class SigningIn:
    """The two halves of the way to the provider and back.

    Args:
        provider: None where people bring their token themselves, as on a local stack.
        post: sends a form to a URL and gives the JSON answer; blocks, raises anything.
    """

    def __init__(
        self, provider: Provider | None, post: Callable[[str, Mapping[str, str]], Mapping[str, Any]]
    ) -> None:
        self._provider = provider
        self._post = post

    @property
    def offered(self) -> bool:
        """Whether there is a provider to sign in at."""
        return self._provider is not None

    @property
    def secure(self) -> bool:
        """Whether the cookie may travel over TLS alone."""
        return self._known().public_url.startswith("https://")

    def leave(self) -> Departure:
        """Begin a sign-in.

        Raises:
            NotFound: there is no provider.
        """
        provider = self._known()
        verifier, state = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": provider.public_url + _RETURN,
            "scope": provider.scope,
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        return Departure(f"{provider.authorize_url}?{urlencode(query)}", f"{state}.{verifier}")

    def arrive(self, code: str, state: str, cookie: str | None) -> str:
        """Finish a sign-in: where to go with the token; blocks.

        Raises:
            NotFound: there is no provider.
            BadRequest: this sign-in was not begun here, is too old, or the provider refused the code.
            Away: the provider does not answer.
        """
        provider = self._known()
        begun, _, verifier = (cookie or "").partition(".")
        if not verifier or not hmac.compare_digest(begun.encode(), state.encode()):
            raise BadRequest("this sign-in was not begun in this browser, or too long ago; sign in again")
        form = {
            "grant_type": "authorization_code",
            "client_id": provider.client_id,
            "redirect_uri": provider.public_url + _RETURN,
            "code": code,
            "code_verifier": verifier,
        }
        try:
            answer = self._post(provider.token_url, form)
        except Refused:
            raise BadRequest("the identity provider refused this sign-in; sign in again") from None
        except Exception as error:
            raise Away("the identity provider does not answer; sign in again later") from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise BadRequest("the identity provider gave no identity; an operator checks the scope `openid`")
        # a fragment is sent to no server, and the page moves it out of the address at once
        return f"{provider.public_url}/#{urlencode({'token': token})}"

    def _known(self) -> Provider:
        if self._provider is None:
            raise NotFound("there is no identity provider here; bring a token")
        return self._provider


class Refused(Exception):
    """The provider's answer to the code was no."""


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
