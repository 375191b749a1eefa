// One student's record: for the teacher who wants to understand, and for the student whose record it is.

import { ask, Problem } from "./api.js";
import { trend } from "./chart.js";
import { h } from "./dom.js";
import { ago, change, count, day, dayAndTime, id, number, percent, percentile, when } from "./format.js";
import { asTable, chart, definition, empty, figure, pager, panel, row, table } from "./parts.js";

const PAGE = 20;
const NOTHING_YET = "Nothing has been handed in yet";
const SOON = "Your scores appear here soon after your first attempt.";
const NOTABLY_LOW = 15;
const NOTABLY_HIGH = 85;

export class StudentView {
  constructor(page, own) {
    this.page = page;
    this.own = own;
    this.forget();
  }

  get title() {
    if (this.own) return ["My scores"];
    return this.student ? ["Student ", id(this.student)] : ["Student"];
  }

  get student() {
    return this.own ? "me" : this.page.student;
  }

  get course() {
    return this.page.where.course || this.overview?.courses[0]?.course_id || null;
  }

  get seesDisclosures() {
    return this.own || this.page.hasRole("official");
  }

  forget() {
    this.overview = null;
    this.leave();
    this.disclosures = null;
    this.disclosureCursors = [null];
  }

  leave() {
    this.body = null;
    this.attempts = null;
    this.attemptCursors = [null];
  }

  moved(before) {
    if (before.student !== this.page.student) this.forget();
    else if (before.course !== this.page.where.course) this.leave();
  }

  // The course in view is asked for again and again; the rest only when that has changed, because each read of a
  // record is written down.
  async refresh(signal) {
    try {
      await this.read(signal);
    } catch (error) {
      if (this.own && error.status === 404 && !this.overview) throw new Problem(404, NOTHING_YET, SOON, 0);
      throw error;
    }
  }

  async read(signal) {
    const student = this.student;
    if (!student) return;
    const first = !this.overview;
    const overview = first ? (await ask("metrics", { student_id: student }, signal)).body : this.overview;
    this.overview = overview;
    if (this.seesDisclosures && !this.disclosures) await this.readDisclosures(signal);
    if (!this.course) return;
    const which = { student_id: student, course_id: this.course };
    const one = await ask("metrics", which, signal);
    if (one.changed || !this.attempts) {
      this.attempts = (
        await ask("attempts", { ...which, limit: PAGE, cursor: this.attemptCursors.at(-1) }, signal)
      ).body;
      if (!first) this.overview = (await ask("metrics", { student_id: student }, signal)).body;
    }
    this.body = one.body;
  }

  async readDisclosures(signal) {
    this.disclosures = (
      await ask(
        "disclosures",
        { student_id: this.student, limit: PAGE, cursor: this.disclosureCursors.at(-1) },
        signal,
      )
    ).body;
  }

  get shown() {
    return this.body ?? this.overview;
  }

  render() {
    const chooser = this.head();
    if (!this.student) return [chooser, empty("Choose a learner in the class, or type a student id.")];
    if (!this.overview) return [chooser];
    if (this.overview.courses.length === 0)
      return [
        chooser,
        h("section", { class: "panel", key: "none" }, empty("Nothing has been handed in yet, in no course.")),
        this.readers(),
      ];
    return [
      chooser,
      this.notice(),
      this.body
        ? [this.figures(), h("div", { class: "columns", key: "middle" }, this.window(), this.place())]
        : null,
      this.courses(),
      this.body ? this.attemptsPanel() : null,
      this.readers(),
    ];
  }

  head() {
    return this.own ? null : this.chooser();
  }

  chooser() {
    return h(
      "form",
      {
        class: "controls",
        key: "chooser",
        onsubmit: (event) => (
          event.preventDefault(),
          this.choose(new FormData(event.target).get("student").trim())
        ),
      },
      h(
        "label",
        {},
        h("span", {}, "Student id"),
        h("input", {
          name: "student",
          value: this.student ?? "",
          autocomplete: "off",
          spellcheck: "false",
          dir: "auto",
          required: true,
        }),
      ),
      h("button", { type: "submit" }, "Show"),
      this.page.where.course
        ? h(
            "button",
            { type: "button", class: "plain last", onclick: () => this.page.go({ view: "class" }) },
            "Back to the class",
          )
        : null,
    );
  }

  choose(student) {
    if (student) this.page.openStudent(student, null);
  }

  notice() {
    if (!this.body?.at_risk.flag) return null;
    return h(
      "section",
      { class: "panel look", key: "notice", "aria-label": "At risk" },
      h(
        "p",
        {},
        definition("at_risk", this.own ? "Worth a look" : "At risk"),
        ": ",
        h(
          "span",
          {},
          this.body.at_risk.reasons.map((reason) =>
            h("span", { class: "reason", key: reason.code }, reason.text),
          ),
        ),
      ),
    );
  }

  figures() {
    const { body } = this;
    const tags = [
      body.provisional
        ? h(
            "span",
            { class: "tag", key: "provisional" },
            definition("provisional", "provisional: a first impression"),
          )
        : null,
      body.over_max
        ? h("span", { class: "tag", key: "over" }, definition("over_max", "with extra credit"))
        : null,
    ].filter(Boolean);
    const shown = (name, write) =>
      figure(name, write(body[name], name), body[name] === null ? whyShown(write(null, name)) : null);
    return panel(
      ["Figures in ", id(body.course_id)],
      { key: "figures" },
      tags.length ? h("p", {}, tags) : null,
      h(
        "dl",
        { class: "figures dense" },
        shown("mean_last_n", percent),
        shown("ewma", percent),
        shown("trend", (value, why) =>
          value === null ? change(value, why) : [change(value), h("span", { class: "unit" }, " points")],
        ),
        shown("latest", percent),
        shown("best", percent),
        shown("mean_last_7d", percent),
        shown("mean_last_30d", percent),
        figure("attempts_total", count(body.attempts_total), [
          definition("attempts_scored", "scored"),
          `: ${body.attempts_scored}`,
        ]),
        figure(
          "last_activity_at",
          dayAndTime(body.last_activity_at, "last_activity_at"),
          body.last_activity_at ? ago(body.last_activity_at, new Date(body.as_of)) : null,
          { class: "wide" },
        ),
      ),
    );
  }

  window() {
    const { window: attempts, mean_last_n: mean, trend: slope } = this.body;
    const ratios = attempts.map((attempt) => attempt.ratio);
    const rows = attempts.map((attempt, n) =>
      row(`${n}`, `${n + 1}`, when(attempt.occurred_at), percent(attempt.ratio)),
    );
    const label = `Results of the last ${attempts.length} scored attempts, from ${Math.round(ratios[0] * 100)} % to ${Math.round(ratios.at(-1) * 100)} %`;
    return panel(
      definition("attempts_window", "The attempts behind the figures"),
      { key: "window" },
      attempts.length
        ? [
            chart(
              label,
              trend({ ratios, days: attempts.map((attempt) => day(attempt.occurred_at)), mean, slope }),
            ),
            h("p", { class: "axis" }, "Oldest to latest; the dashed line is the trend"),
            asTable(
              "The attempts behind the figures",
              [{ head: "No." }, { head: "Made" }, { head: "Result" }],
              rows,
            ),
          ]
        : empty("Nothing is scored yet."),
    );
  }

  place() {
    const value = this.body.percentile_in_course;
    const track = h("div", { class: "track", keep: true, "aria-hidden": "true" }, h("i"), h("b"));
    if (value !== null) track.querySelector("b").style.insetInlineStart = `${value}%`;
    const words =
      value === null
        ? null
        : value < NOTABLY_LOW
          ? "among the weakest of the class"
          : value > NOTABLY_HIGH
            ? "among the strongest of the class"
            : "in the broad middle of the class";
    return panel(
      definition("percentile_in_course"),
      { key: `place-${value}` },
      value === null
        ? empty("No place yet: it needs 3 scored attempts, and a class of at least 10 counted learners.")
        : [
            h("p", { class: "big" }, percentile(value), h("small", {}, " of 100")),
            track,
            h(
              "p",
              { class: "ends", "aria-hidden": "true" },
              h("span", {}, "weakest"),
              h("span", {}, "strongest"),
            ),
            h(
              "p",
              {},
              `By the average of the last 20 attempts ${this.own ? "you are" : "this learner is"} ${words}.`,
            ),
          ],
    );
  }

  courses() {
    const { courses, mean_of_course_means: mean } = this.overview;
    const columns = [
      { head: "Course" },
      { head: definition("mean_last_n") },
      { head: definition("ewma") },
      { head: definition("trend") },
      { head: definition("percentile_in_course") },
      { head: definition("attempts_total") },
      { head: definition("last_activity_at") },
    ];
    const line = (course) =>
      row(
        course.course_id,
        h(
          "button",
          {
            type: "button",
            class: "link",
            "aria-current": course.course_id === this.course ? "true" : null,
            onclick: () => this.page.go({ course: course.course_id }),
          },
          id(course.course_id),
        ),
        percent(course.mean_last_n, "mean_last_n"),
        percent(course.ewma, "ewma"),
        change(course.trend, "trend"),
        percentile(course.percentile_in_course, "percentile_in_course"),
        count(course.attempts_total),
        dayAndTime(course.last_activity_at, "last_activity_at"),
      );
    return panel(
      this.own ? "My courses" : "Courses",
      { key: "courses" },
      h(
        "p",
        {},
        definition("mean_of_course_means"),
        ": ",
        h("strong", {}, percent(mean, "mean_of_course_means")),
        this.own || !this.page.hasRole("teacher")
          ? null
          : h("span", { class: "quiet" }, " (of the courses you share)"),
      ),
      table("Courses of the student", columns, courses.map(line)),
    );
  }

  attemptsPanel() {
    const { attempts, next_cursor: next } = this.attempts;
    const page = this.attemptCursors.length;
    const columns = [
      { head: "Task" },
      { head: "Made" },
      { head: "Points" },
      { head: definition("what-is-counted", "Result") },
      { head: "Graded" },
      { head: "Source" },
    ];
    const line = (attempt, n) =>
      row(
        `${attempt.item_id} ${attempt.occurred_at} ${n}`,
        id(attempt.item_id),
        when(attempt.occurred_at),
        [number(attempt.score, "score"), " of ", number(attempt.max_score)],
        percent(attempt.ratio, attempt.score === null ? "score" : "the task has no maximum"),
        [when(attempt.graded_at), attempt.revision > 1 ? h("span", { class: "tag" }, "regraded") : null],
        id(attempt.source),
      );
    return panel(
      "Attempts, latest first",
      { key: "attempts" },
      attempts.length ? table("Attempts", columns, attempts.map(line)) : empty("No attempt stands."),
      page > 1 || next
        ? pager("Pages of attempts", {
            back: page > 1 ? () => this.turnAttempts(() => this.attemptCursors.pop()) : null,
            forward: next ? () => this.turnAttempts(() => this.attemptCursors.push(next)) : null,
            text: `Page ${page}`,
          })
        : null,
    );
  }

  turnAttempts(step) {
    step();
    this.page.attempt(async () => {
      this.attempts = (
        await ask("attempts", {
          student_id: this.student,
          course_id: this.course,
          limit: PAGE,
          cursor: this.attemptCursors.at(-1),
        })
      ).body;
    });
  }

  readers() {
    if (!this.seesDisclosures || !this.disclosures) return null;
    const { disclosures, next_cursor: next } = this.disclosures;
    const page = this.disclosureCursors.length;
    const columns = [
      { head: "When" },
      { head: "Who" },
      { head: "As" },
      { head: "What" },
      { head: "Course" },
      { head: "Why" },
    ];
    const line = (seen, n) =>
      row(
        `${seen.at} ${n}`,
        when(seen.at),
        id(seen.who),
        seen.role,
        seen.what,
        seen.course_id ? id(seen.course_id) : "all",
        seen.purpose
          ? h("bdi", { class: "long" }, seen.purpose)
          : h("span", { class: "quiet" }, "teaches the course"),
      );
    const turn = (step) => {
      step();
      this.page.attempt(() => this.readDisclosures());
    };
    return panel(
      this.own ? "Who has seen my record" : "Who has seen this record",
      { key: "readers" },
      disclosures.length
        ? table("Who has seen this record", columns, disclosures.map(line))
        : empty("Nobody else has looked at this record."),
      page > 1 || next
        ? pager("Pages of readers", {
            back: page > 1 ? () => turn(() => this.disclosureCursors.pop()) : null,
            forward: next ? () => turn(() => this.disclosureCursors.push(next)) : null,
            text: `Page ${page}`,
          })
        : null,
    );
  }
}

function whyShown(value) {
  return value.title;
}
