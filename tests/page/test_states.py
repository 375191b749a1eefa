"""What the page makes of trouble, silence, nothing at all and hostile names."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page import answers
from tests.page.browsing import Tab
from tests.page.fake import School, Trouble
from tests.page.shots import grow

HIDE = """
Object.defineProperty(document, "hidden", { configurable: true, get: () => window.away === true });
window.goAway = (away) => { window.away = away; document.dispatchEvent(new Event("visibilitychange")); };
"""


@pytest.fixture
def page(desk: Tab, school: School) -> Page:
    """A page whose clock stands still until it is moved."""
    desk.page.clock.install(time=answers.AS_OF)
    desk.page.add_init_script(HIDE)
    return desk.page


def enter(tab: Tab, role: str) -> None:
    tab.sign_in(f"token-{role}")
    expect(tab.page.get_by_text("As of")).to_be_visible()


def after_a_poll(page: Page) -> None:
    with page.expect_response("**/metrics?*"):
        page.clock.run_for(3_100)


def test_polls_are_conditional_and_rest_while_nobody_looks(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "student")
    expect(page.get_by_role("region", name="Place in class")).to_be_visible()
    before = len(school.asked)
    after_a_poll(page)
    (again,) = school.asked[before:]
    assert again.query == {"student_id": "me", "course_id": "algebra"}
    assert "if-none-match" in again.headers
    page.evaluate("goAway(true)")
    page.clock.run_for(120_000)
    assert len(school.asked) == before + 1
    with page.expect_response("**/metrics?*"):
        page.evaluate("goAway(false)")


def test_new_figures_appear_and_focus_stays(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "teacher")
    page.get_by_label("Search by student id").focus()
    school.classroom.learners = 65
    after_a_poll(page)
    expect(page.locator("dl.figures")).to_contain_text("65")
    expect(page.get_by_label("Search by student id")).to_be_focused()


def test_an_expired_token_returns_to_the_sign_in(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "teacher")
    school.revoked = True
    after_a_poll(page)
    expect(page.get_by_role("alert")).to_have_text("Your sign-in has expired. Please sign in again.")
    assert page.evaluate("sessionStorage.length") == 0
    asked = len(school.asked)
    page.clock.run_for(30_000)
    assert len(school.asked) == asked


def test_stale_and_degraded_answers_say_so(desk: Tab, page: Page, school: School) -> None:
    school.classroom.stale_seconds = 95
    school.classroom.degraded = True
    enter(desk, "teacher")
    expect(page.get_by_text("Stale: 1 min 35 s behind")).to_be_visible()
    expect(page.get_by_text("Degraded: taken from the ledger")).to_be_visible()
    expect(page.locator("#said")).to_have_text("The figures are stale. The figures are taken from the ledger")


def test_an_unchanged_answer_still_ages(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "teacher")
    school.classroom.stale_seconds = 95
    after_a_poll(page)
    expect(page.get_by_text("Stale: 1 min 35 s behind")).to_be_visible()


def test_counters_of_a_ledger_that_is_away_are_no_zeros(desk: Tab, page: Page, school: School) -> None:
    school.system.ledger = "away"
    school.system.events = answers.Events(0, 0, 0, 0, 0, 0, 0, 0)
    school.system.dead_letters = []
    enter(desk, "operator")
    expect(page.get_by_text("Not known while the ledger is away.")).to_have_count(2)
    expect(page.get_by_role("table", name="Shards").get_by_text("0", exact=True)).to_have_count(0)


def test_a_learner_known_by_pseudonym_only_leads_nowhere(desk: Tab, page: Page, school: School) -> None:
    school.classroom = answers.classroom(size=10)
    roster = school.classroom.roster
    assert isinstance(roster, list)
    roster[0].student_id, roster[0].student_key = None, "0a1b2c"
    school.classroom.at_risk = 0
    enter(desk, "teacher")
    expect(page.get_by_role("rowheader", name="0a1b2c")).to_be_visible()
    expect(page.get_by_role("button", name="0a1b2c")).to_have_count(0)


def test_a_student_without_any_record_is_told_so(desk: Tab, page: Page, school: School) -> None:
    school.trouble["/metrics"] = Trouble(404, "Not found")
    desk.sign_in("token-student")
    expect(page.get_by_role("alert")).to_contain_text("Nothing has been handed in yet")


def test_an_unknown_delay_is_not_a_zero(desk: Tab, page: Page, school: School) -> None:
    school.classroom.stale_seconds = None
    enter(desk, "teacher")
    expect(page.get_by_text("delay not known")).to_be_visible()


def test_when_the_server_is_away_the_last_answer_stays(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "teacher")
    school.trouble["/metrics"] = Trouble(503, "Redis and ledger are away", "Try again soon.", 3)
    after_a_poll(page)
    expect(page.get_by_text("Redis and ledger are away; showing the last answer")).to_be_visible()
    expect(page.get_by_role("region", name="Learners", exact=True)).to_be_visible()
    page.clock.run_for(40_000)
    expect(page.get_by_text(re.compile("No new answer for"))).to_be_visible()
    school.trouble.clear()
    with page.expect_response(lambda response: "/metrics" in response.url and response.status < 400):
        page.clock.run_for(31_000)
    expect(page.get_by_text("showing the last answer")).to_have_count(0)


def test_an_error_without_any_answer_says_what_to_do(desk: Tab, page: Page, school: School) -> None:
    school.trouble["/metrics"] = Trouble(403, "This is not your course", "Ask the school office.")
    desk.sign_in("token-teacher")
    expect(page.get_by_role("alert")).to_contain_text("This is not your course")
    expect(page.get_by_role("alert")).to_contain_text("Ask the school office.")
    school.trouble.clear()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Learners", exact=True)).to_be_visible()


def test_an_empty_class_says_so(desk: Tab, page: Page, school: School) -> None:
    school.classroom = answers.classroom(size=0)
    enter(desk, "teacher")
    expect(page.get_by_text("Nobody has handed in anything in this course yet.")).to_be_visible()
    expect(page.get_by_role("img")).to_have_count(0)


def test_a_record_without_scores_shows_reasons_and_no_zeros(desk: Tab, page: Page, school: School) -> None:
    school.record = answers.record(mean=None)
    enter(desk, "student")
    figures = page.get_by_role("region", name="Figures in algebra")
    expect(figures.get_by_text("fewer than 3 scored attempts", exact=True)).to_be_visible()
    expect(figures).not_to_contain_text("0.0")
    expect(page.get_by_text("Nothing is scored yet.")).to_be_visible()
    expect(page.get_by_text("No place yet")).to_be_visible()


def test_a_student_of_no_course(desk: Tab, page: Page, school: School) -> None:
    school.overview = answers.overview(names=())
    enter(desk, "student")
    expect(page.get_by_text("Nothing has been handed in yet, in no course.")).to_be_visible()


def test_throughput_comes_from_two_answers(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "operator")
    expect(page.get_by_text("Measuring: a rate needs two answers.")).to_be_visible()
    grow(school.system, 3_000)
    with page.expect_response("**/metrics"):
        page.clock.run_for(3_100)
    expect(page.get_by_role("img", name=re.compile(r"Events read a second, now [1-9]"))).to_be_visible()


def test_pages_of_the_roster(desk: Tab, page: Page, school: School) -> None:
    enter(desk, "teacher")
    rows = page.get_by_role("table", name="Learners of the class").get_by_role("rowheader")
    expect(rows).to_have_count(50)
    page.get_by_role("navigation", name="Pages of learners").get_by_role("button", name="Next").click()
    expect(rows).to_have_count(14)
    expect(rows.first).to_have_text("s-050")
    page.get_by_role("navigation", name="Pages of learners").get_by_role("button", name="Previous").click()
    expect(rows.first).to_have_text("s-000")


def test_a_purpose_in_any_script_arrives_as_utf_8(desk: Tab, page: Page, school: School) -> None:
    school.courses = ["algebra"]
    desk.sign_in("token-official")
    page.get_by_label("Purpose").fill("年次監査のための確認です")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("region", name="Learners", exact=True)).to_be_visible()
    sent = school.asked[-1].headers["x-purpose"]
    assert sent.encode("latin-1").decode() == "年次監査のための確認です"


@pytest.mark.parametrize("name", answers.HOSTILE)
def test_hostile_names_are_only_text(desk: Tab, page: Page, school: School, name: str) -> None:
    school.courses = [name]
    school.classroom = answers.classroom(name, 12)
    roster, items = school.classroom.roster, school.classroom.items
    assert isinstance(roster, list)
    assert isinstance(items, list)
    roster[0].student_id = items[0].item_id = name
    school.record = answers.record(name, name)
    school.overview = answers.overview(name, (name,))
    enter(desk, "teacher")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Class {name}")
    expect(page.get_by_role("table", name="Tasks of the class").get_by_text(name, exact=True)).to_be_visible()
    page.get_by_role("table", name="Learners of the class").get_by_text(name, exact=True).click()
    expect(page.get_by_role("region", name="Place in class")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Student {name}")
    expect(page).not_to_have_title("taken over")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("main img").count() == 0
