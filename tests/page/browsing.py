"""A real browser on the page, with an eye on everything that must never happen there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)

CHROMIUM = Path("/usr/bin/chromium")
DESKTOP = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=360, height=740)

REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """One headless browser."""
    if not CHROMIUM.exists():
        raise RuntimeError(f"{CHROMIUM} is missing; on Debian: apt-get install chromium, or: make browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page that writes down its complaints and whom it asked."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(REPORT_VIOLATIONS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        # a refused request is said by the browser too; what the page makes of it is tested elsewhere
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"blob", "data"} and f"{url.scheme}://{url.netloc}" != self.origin:
            self.elsewhere.append(request.url)

    def sign_in(self, token: str, fragment: str = "") -> None:
        """By the address, as a school's portal does it."""
        self.page.goto(f"{self.origin}/#{fragment}{'&' if fragment else ''}token={token}")

    def open(self, path: str) -> None:
        self.page.goto(self.origin + path)


@contextmanager
def tab(browser: Browser, origin: str, **options: object) -> Iterator[Tab]:
    """A fresh profile; leaving it fails if the page complained or asked anybody else."""
    defaults = {"viewport": DESKTOP, "timezone_id": "UTC", "locale": "en-GB", "reduced_motion": "reduce"}
    context: BrowserContext = browser.new_context(**{**defaults, **options})  # type: ignore[arg-type]
    context.set_default_timeout(8_000)
    opened = Tab(context.new_page(), origin)
    try:
        yield opened
        assert opened.complaints == []
        assert opened.elsewhere == []
    finally:
        context.close()
