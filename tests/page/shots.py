"""Pictures of every view for human eyes: `python -m tests.page.shots FOLDER`."""

import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.page.answers import AS_OF, System
from tests.page.browsing import DESKTOP, PHONE, chromium, tab
from tests.page.fake import FakeApi, serving

VIEWS = {
    "class": ("teacher", "", "Learners of the class"),
    "student": ("teacher", "", "Attempts"),
    "mine": ("student", "", "Attempts"),
    "system": ("operator", "", "Shards"),
    "analyst": ("analyst", "course=algebra", ""),
}


def grow(system: System, count: int) -> None:
    """So many more events, most of them good."""
    system.events.read += count
    system.events.applied += count - 60
    system.events.duplicate += 60
    system.shards[0].read += count


def shoot(browser: Browser, api: FakeApi, origin: str, folder: Path) -> None:
    for name, (role, fragment, table) in VIEWS.items():
        for size, viewport in {"desktop": DESKTOP, "phone": PHONE}.items():
            for scheme in ("light", "dark"):
                with tab(browser, origin, viewport=viewport, color_scheme=scheme) as opened:
                    page = opened.page
                    page.clock.install(time=AS_OF)
                    opened.sign_in(f"token-{role}", fragment)
                    if name == "student":
                        page.get_by_role("button", name="s-017").first.click()
                    if table:
                        expect(page.get_by_role("group", name=table, exact=True)).to_be_visible()
                    if name == "system":
                        for n in range(1, 12):
                            grow(api.school.system, 2_400 + 600 * (n % 3))
                            with page.expect_response("**/metrics"):
                                page.clock.run_for(3_100)
                    page.locator(".bones").wait_for(state="detached")
                    page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    api = FakeApi()
    with serving(api) as origin, chromium() as browser:
        shoot(browser, api, origin, folder)


if __name__ == "__main__":
    main()
