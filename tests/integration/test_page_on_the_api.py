"""The page on the real API: what each role finds there, in a real browser, from real servers."""

from playwright.sync_api import Browser, Page, expect

from tests.integration.served import COURSE, PURPOSE, School
from tests.page.browsing import Tab, chromium, tab

PUPIL = "s-3"


def entered(opened: Tab, school: School, who: str) -> Page:
    opened.sign_in(school.tokens[who], f"course={COURSE}")
    return opened.page


def test_every_role_finds_its_figures_and_the_page_has_no_complaint(school: School) -> None:
    with chromium() as browser:
        a_teacher_goes_from_the_class_to_a_pupil(browser, school)
        a_pupil_sees_the_own_scores_and_who_else_did(browser, school)
        an_operator_sees_the_shards(browser, school)
        an_official_says_why_first(browser, school)


def a_teacher_goes_from_the_class_to_a_pupil(browser: Browser, school: School) -> None:
    with tab(browser, school.api.url) as opened:
        page = entered(opened, school, "teacher")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {COURSE}")
        page.get_by_role("button", name=PUPIL, exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Student {PUPIL}")
        expect(page.get_by_role("region", name="Place in class")).to_be_visible()
        assert PUPIL not in page.url
        assert "token" not in page.url


def a_pupil_sees_the_own_scores_and_who_else_did(browser: Browser, school: School) -> None:
    with tab(browser, school.api.url) as opened:
        page = entered(opened, school, PUPIL)
        expect(page.get_by_role("heading", level=1)).to_contain_text("My scores")
        expect(page.get_by_text("subject-teacher").first).to_be_visible()


def an_operator_sees_the_shards(browser: Browser, school: School) -> None:
    with tab(browser, school.api.url) as opened:
        page = entered(opened, school, "operator")
        for shard in ("shardId-000000000000", "shardId-000000000001"):
            expect(page.get_by_text(shard).first).to_be_visible()
        assert PUPIL not in page.content()


def an_official_says_why_first(browser: Browser, school: School) -> None:
    with tab(browser, school.api.url) as opened:
        page = entered(opened, school, "official")
        field = page.get_by_role("textbox").first
        expect(field).to_be_visible()
        assert PUPIL not in page.content()
        field.fill(PURPOSE)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {COURSE}")
