"""What each role finds, in a real browser; these tests also run against a running system."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.browsing import PHONE, Tab
from tests.page.conftest import Opener, Site

VIEWS = {"teacher": "Class", "student": "My scores", "operator": "System", "analyst": "Class"}


def enter(tab: Tab, site: Site, role: str) -> Page:
    """Signed in, with figures."""
    tab.sign_in(site.tokens[role], f"course={site.course}" if role == "analyst" else "")
    expect(tab.page.get_by_text("As of")).to_be_visible()
    return tab.page


def open_student(page: Page, site: Site) -> None:
    page.get_by_role("button", name=site.student, exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Student {site.student}")
    expect(page.get_by_role("region", name="Place in class")).to_be_visible()


def findings(page: Page) -> list[str]:
    """What axe finds serious or critical, in both colour schemes; only contrast differs between them."""
    only: dict[str, object] = {"resultTypes": ["violations"]}
    found = Axe().run(page, options=only).response["violations"]
    page.emulate_media(color_scheme="dark")
    found += Axe().run(page, options={**only, "runOnly": ["color-contrast"]}).response["violations"]
    page.emulate_media(color_scheme="light")
    grave = [one for one in found if one["impact"] in {"serious", "critical"}]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in grave]


def test_signing_in_by_hand_and_out_again(desk: Tab, site: Site) -> None:
    page = desk.page
    desk.open("/")
    page.get_by_label("Access token").fill("two words")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("one word")
    page.get_by_label("Access token").fill(site.tokens["teacher"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {site.course}")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("alert")).to_have_text("You are signed out.")
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_a_token_in_the_address_is_moved_at_once(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    assert "token" not in page.url
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {site.course}")


def test_a_wrong_token_is_answered_by_a_sentence(desk: Tab) -> None:
    desk.sign_in("wrong")
    expect(desk.page.get_by_role("alert")).to_contain_text("not valid")


def test_a_teacher_reads_the_class(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_text(
        ["Class", "Student", "Definitions"]
    )
    for region in ("Distribution of averages", "At risk", "Learners", "Tasks, hardest first"):
        expect(page.get_by_role("region", name=region)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Learners by their average"))).to_be_visible()
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table", name="Distribution of averages").get_by_role("row")).to_have_count(11)


def test_the_order_and_the_days_stay_in_the_address(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    page.get_by_role("columnheader", name="Recent work").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="Recent work")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_label("From").blur()
    expect(page).to_have_url(re.compile("sort=ewma.*|from=2026-01-01.*"))
    page.reload()
    expect(page.get_by_role("columnheader", name="Recent work")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_label("From")).to_have_value("2026-01-01")


def test_the_view_is_saved_as_csv(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download CSV").click()
    assert saved.value.suggested_filename == f"{site.course}.csv"
    assert saved.value.path().read_text().startswith("student_id")


def test_a_search_looks_through_the_whole_class(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    page.get_by_label("Search by student id").fill(site.student.upper())
    expect(page.get_by_role("table", name="Learners of the class").get_by_role("rowheader")).to_have_text(
        [site.student]
    )


def test_a_teacher_opens_a_student_who_stands_in_no_address(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    open_student(page, site)
    assert site.student not in page.url
    for region in ("The attempts behind the figures", "Courses", "Attempts, latest first"):
        expect(page.get_by_role("region", name=region)).to_be_visible()
    expect(page.get_by_role("region", name=re.compile("Who has seen"))).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {site.course}")


def test_a_student_sees_the_own_record_and_who_has_read_it(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "student")
    expect(page.get_by_role("heading", level=1)).to_have_text("My scores")
    for region in ("My courses", "Attempts, latest first", "Who has seen my record", "Place in class"):
        expect(page.get_by_role("region", name=region)).to_be_visible()


def test_every_figure_leads_to_its_definition(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "student")
    expect(page.get_by_role("region", name="Place in class")).to_be_visible()
    addresses = {link.get_attribute("href") or "" for link in page.locator("a.term").all()}
    assert len(addresses) > 10
    page.get_by_role("link", name="Recent work").first.click()
    expect(page.locator("tr:target code").first).to_have_text("ewma")
    missing = [
        address for address in addresses if not page.locator(f"[id='{address.partition('#')[2]}']").count()
    ]
    assert missing == []


def test_an_operator_sees_the_system(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "operator")
    for region in ("Events a second", "Every event accounted for", "Shards", "Dead letters by reason"):
        expect(page.get_by_role("region", name=region)).to_be_visible()


def test_an_official_says_why_before_anything_is_asked(desk: Tab, site: Site) -> None:
    page = desk.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    desk.sign_in(site.tokens["official"], f"course={site.course}")
    purpose = page.get_by_label("Purpose")
    expect(purpose).to_be_visible()
    assert not [url for url in asked if "/metrics" in url]
    purpose.fill("Yearly inspection 2026")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Learners", exact=True)).to_be_visible()
    open_student(page, site)
    expect(page.get_by_role("region", name="Who has seen this record")).to_be_visible()


def test_a_producer_gets_a_sentence(desk: Tab, site: Site) -> None:
    desk.sign_in(site.tokens["producer"])
    expect(desk.page.get_by_text("Producers send events")).to_be_visible()


@pytest.mark.parametrize("role", VIEWS)
def test_anyone_can_read_it_on_a_phone_in_both_schemes(open_tab: Opener, site: Site, role: str) -> None:
    with open_tab(viewport=PHONE) as opened:
        page = enter(opened, site, role)
        expect(page.get_by_role("link", name=VIEWS[role], exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        if role == "teacher":
            assert findings(page) == []
            open_student(page, site)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert findings(page) == []


@pytest.mark.parametrize("path", ["/", "/definitions"])
def test_what_needs_no_sign_in_is_accessible_too(desk: Tab, path: str) -> None:
    desk.open(path)
    expect(desk.page.get_by_role("heading", level=1)).to_be_visible()
    assert findings(desk.page) == []


def test_the_keyboard_alone_reaches_a_student_and_comes_back(desk: Tab, site: Site) -> None:
    page = enter(desk, site, "teacher")
    focused = page.locator(":focus")

    def walk_to(name: str, most: int = 80) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if focused.count() and (focused.text_content() or "").strip() == name:
                return
        raise AssertionError(f"{name} is not reached by Tab")

    page.evaluate("document.activeElement.blur()")
    walk_to("Skip to the figures", 1)
    page.keyboard.press("Enter")
    walk_to(
        site.student
        if page.get_by_role("button", name=site.student).count() == 0
        else "Show all 18 in the list of learners",
        40,
    )
    assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="At risk")).to_have_attribute("aria-sort", "descending")
    first = page.get_by_role("table", name="Learners of the class").get_by_role("row").nth(1)
    expect(first.get_by_role("cell").last).not_to_have_text("no")
    walk_to(first.get_by_role("rowheader").inner_text())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    walk_to("Back to the class")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {site.course}")
