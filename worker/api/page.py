"""What a browser gets of the page: every file as bytes with its type and tag, and its protecting headers.

Independent of the web framework, and read once: the page is small, and a file that changes under a running
process would no longer be the one that was reviewed. The chart library is taken from an installed package and
checked against a pinned digest, so that no third-party script is ever served unread.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from itertools import pairwise
from types import MappingProxyType

from markdown_it import MarkdownIt
from markdown_it.token import Token

SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self' data:",
                "connect-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
            )
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cache-Control": "no-cache",
    }
)
"""Sent with every asset; files are asked for again each time and cost a 304."""

FOLDER = "dashboard"
DEFINITIONS = "scores.md"
"""A link to `docs/scores.md`: one text for teachers, whether read in the repository or on the page."""

CHART_LIBRARY = "youplot"
CHART_FILES = {
    "uplot.js": (
        "youplot/vendor/uplot.iife.min.js",
        "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    ),
    "uplot.css": (
        "youplot/vendor/uplot.min.css",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    ),
}
"""uPlot 1.6.31 as its authors published it: our name, the place in the package, the SHA-256."""

CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

SCROLLING = {
    "<table>": '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>',
    "</table>": "</table></div>",
}
"""On a phone a wide table scrolls by itself, and a keyboard must be able to reach it."""


class UnexpectedAsset(Exception):
    """An installed file is not the one that was reviewed."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is answered."""

    body: bytes
    content_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every path of the page with its file: `/`, `/definitions` and all below `/static/`."""
    found = {"/": _asset("index.html", _own("index.html"))}
    found["/definitions"] = _asset("definitions.html", definitions(_own(DEFINITIONS).decode()).encode())
    for entry in resources.files(__package__).joinpath(FOLDER).iterdir():
        suffix = entry.name.rpartition(".")[2]
        if suffix in CONTENT_TYPES and suffix != "html":
            found[f"/static/{entry.name}"] = _asset(entry.name, entry.read_bytes())
    for name, (place, digest) in CHART_FILES.items():
        found[f"/static/{name}"] = _asset(name, _pinned(place, digest))
    return MappingProxyType(found)


@cache
def entrance(*, sign_in: bool) -> Asset:
    """The page itself, which is told whether there is an identity provider to sign in at."""
    body = _own("index.html")
    return _asset(
        "index.html", body.replace(b"<html ", b'<html data-sign-in="offered" ', 1) if sign_in else body
    )


def definitions(text: str) -> str:
    """The page that explains every figure, an HTML document with an anchor for each of them."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    _anchor_headings(tokens)
    _anchor_figures(tokens)
    rendered = markdown.renderer.render(tokens, markdown.options, {})
    for wide, scrolling in SCROLLING.items():
        rendered = rendered.replace(wide, scrolling)
    return _own("definitions.html").decode().replace("<!-- text -->", rendered)


def _anchor_headings(tokens: Sequence[Token]) -> None:
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            words = re.sub(r"[^\w\s-]", "", content.content.lower())
            opening.attrSet("id", re.sub(r"\s+", "-", words.strip()))


def _anchor_figures(tokens: Sequence[Token]) -> None:
    """A table row that begins with a name in code type is that name's definition; the first one counts."""
    seen = set()
    for row, cell, content in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (row.type, cell.type, content.type) != ("tr_open", "td_open", "inline"):
            continue
        name = re.fullmatch(r"`(\w+)`", content.content)
        if name and name[1] not in seen:
            seen.add(name[1])
            row.attrSet("id", name[1])


def _own(name: str) -> bytes:
    return resources.files(__package__).joinpath(FOLDER, name).read_bytes()


def _pinned(place: str, digest: str) -> bytes:
    """A file of the chart library, read without running any of the package's code."""
    body = bytes(metadata.distribution(CHART_LIBRARY).locate_file(place).read_bytes())  # type: ignore[attr-defined]
    if hashlib.sha256(body).hexdigest() != digest:
        raise UnexpectedAsset(
            f"{place} differs from the reviewed file; install {CHART_LIBRARY} as constrained"
        )
    return body


def _asset(name: str, body: bytes) -> Asset:
    tag = hashlib.sha256(body).hexdigest()[:32]
    return Asset(body, CONTENT_TYPES[name.rpartition(".")[2]], f'"{tag}"')
