// The class: who is here, how it goes, who needs a look, and which tasks were hard.

import { ask, download } from "./api.js";
import { distribution } from "./chart.js";
import { h } from "./dom.js";
import { change, count, dayAndTime, id, missing, percent, percentile, when } from "./format.js";
import { asTable, chart, definition, empty, figure, NAMES, pager, panel, row, table } from "./parts.js";

const PAGE = 50;
const MOST = 500;
const MOST_PAGES = 20;
const AT_RISK_SHOWN = 5;
const IN_SHORT = { inactive: "inactive", low_ewma: "weak", falling: "falling", low_percentile: "low place" };
const ITEMS_SHOWN = 12;
const SORTABLE = [
  "student_id",
  "mean_last_n",
  "ewma",
  "latest",
  "trend",
  "percentile_in_course",
  "attempts_total",
  "last_activity_at",
  "at_risk",
];
const WEAKEST_FIRST = new Set([
  "mean_last_n",
  "ewma",
  "latest",
  "trend",
  "percentile_in_course",
  "last_activity_at",
  "student_id",
]);

export class ClassView {
  constructor(page) {
    this.page = page;
    this.search = "";
    this.forget();
  }

  get title() {
    return this.course ? ["Class ", id(this.course)] : ["Class"];
  }

  get course() {
    return this.page.where.course || this.page.session.courses?.[0] || null;
  }

  get query() {
    const { from, to } = this.page.where;
    return { course_id: this.course, from, to };
  }

  get order() {
    const { sort, order } = this.page.where;
    return { sort: SORTABLE.includes(sort) ? sort : "student_id", order: order === "desc" ? "desc" : "asc" };
  }

  get seesRows() {
    return this.page.hasRole("teacher", "official");
  }

  forget() {
    this.body = null;
    this.atRisk = null;
    this.matches = null;
    this.cursors = [null];
    this.allItems = false;
  }

  moved(before) {
    const now = this.page.where;
    if (before.course !== now.course || before.from !== now.from || before.to !== now.to) this.forget();
    this.cursors = [null];
  }

  async refresh(signal) {
    if (!this.course) return;
    const rows = { ...this.order, limit: PAGE, cursor: this.cursors.at(-1) };
    const main = await ask("metrics", { ...this.query, ...(this.seesRows ? rows : {}) }, signal);
    if (this.seesRows && (main.changed || !this.atRisk)) {
      const risk = await ask(
        "metrics",
        { ...this.query, sort: "at_risk", order: "desc", limit: PAGE },
        signal,
      );
      this.atRisk = risk.body.roster?.filter((learner) => learner.at_risk.flag) ?? null;
    }
    if (this.search && (main.changed || !this.matches)) this.matches = await this.everybody(signal);
    this.body = main.body;
  }

  // Every answer with rows is written down as a look at these learners, so what has not changed is not asked.
  async everybody(signal) {
    const found = [];
    let cursor = null;
    for (let n = 0; n < MOST_PAGES; n += 1) {
      const { body } = await ask("metrics", { ...this.query, ...this.order, limit: MOST, cursor }, signal);
      found.push(...(body.roster ?? []));
      cursor = body.next_cursor;
      if (!cursor) return found;
    }
    return found;
  }

  render() {
    if (!this.course) return [this.controls(), empty("Choose a course to see its class.")];
    if (!this.body) return [this.controls()];
    const { learners } = this.body;
    if (learners === 0) return [this.controls(), this.nobody()];
    return [
      this.controls(),
      this.figures(),
      h("div", { class: "columns", key: "middle" }, this.distribution(), this.atRisk ? this.risks() : null),
      this.body.roster ? this.roster() : this.withoutRows(),
      this.body.items ? this.items() : null,
    ];
  }

  head() {
    return this.controls();
  }

  nobody() {
    const { from, to } = this.page.where;
    return h(
      "section",
      { class: "panel", key: "nobody" },
      empty(
        from || to ? "No attempts in these days. " : "Nobody has handed in anything in this course yet. ",
        from || to
          ? h(
              "button",
              { type: "button", onclick: () => this.page.go({ from: null, to: null }) },
              "Show all days",
            )
          : null,
      ),
    );
  }

  controls() {
    const { session, where } = this.page;
    const courses = session.courses ?? [];
    const free = courses.length === 0 || this.page.hasRole("official", "analyst");
    const go = (changes) => this.page.go(changes);
    const known = courses.includes(this.course);
    return h(
      "div",
      { class: "controls", key: "controls" },
      courses.length > 0
        ? h(
            "label",
            { key: "pick" },
            h("span", {}, "Course"),
            h(
              "select",
              {
                value: known ? this.course : "",
                onchange: (event) => event.target.value && go({ course: event.target.value }),
              },
              known ? null : h("option", { value: "" }, "Another course"),
              courses.map((course) =>
                h("option", { value: course, selected: course === this.course }, course),
              ),
            ),
          )
        : null,
      free
        ? h(
            "form",
            {
              key: "type",
              class: "typed",
              onsubmit: (event) => (
                event.preventDefault(),
                go({ course: new FormData(event.target).get("course").trim() || null })
              ),
            },
            h(
              "label",
              {},
              h("span", {}, courses.length > 0 ? "Or type a course" : "Course"),
              h("input", {
                name: "course",
                value: known ? "" : (this.course ?? ""),
                autocomplete: "off",
                spellcheck: "false",
                dir: "auto",
              }),
            ),
            h("button", { type: "submit" }, "Show"),
          )
        : null,
      this.seesRows
        ? [
            h(
              "label",
              { key: "from" },
              h("span", {}, "From"),
              h("input", {
                type: "date",
                value: where.from ?? "",
                max: where.to,
                onchange: (event) => go({ from: event.target.value || null }),
              }),
            ),
            h(
              "label",
              { key: "to" },
              h("span", {}, "To"),
              h("input", {
                type: "date",
                value: where.to ?? "",
                min: where.from,
                onchange: (event) => go({ to: event.target.value || null }),
              }),
            ),
            where.from || where.to
              ? h(
                  "button",
                  {
                    key: "clear",
                    type: "button",
                    class: "plain",
                    onclick: () => go({ from: null, to: null }),
                  },
                  "All days",
                )
              : null,
            this.body
              ? h(
                  "button",
                  { key: "csv", type: "button", class: "last", onclick: () => this.save() },
                  "Download CSV",
                )
              : null,
          ]
        : null,
    );
  }

  async save() {
    const name = `${this.course.replace(/[^\w.-]+/g, "-").slice(0, 60)}.csv`;
    await this.page.attempt(
      () => download("metrics", { ...this.query, ...this.order }, name),
      "The file is saved.",
    );
  }

  figures() {
    const { learners, learners_counted: counted, mean, at_risk: atRisk } = this.body;
    const hidden = !this.body.roster;
    return h(
      "dl",
      { class: "figures", key: "figures" },
      figure(
        "learners",
        count(learners, "learners"),
        h("span", {}, definition("learners_counted", "counted"), ": ", count(counted, "learners")),
      ),
      figure(
        "mean",
        percent(mean, hidden ? "hidden: too few learners" : "nobody has 3 scored attempts yet"),
        "of the counted learners",
      ),
      figure(
        "at_risk",
        count(atRisk, "learners"),
        atRisk === null ? "hidden: too few learners" : "may need help",
      ),
    );
  }

  distribution() {
    const bars = this.body.distribution;
    const some = bars.some((bar) => bar.learners);
    const rows = bars.map((bar, n) =>
      row(`${bar.from}`, rangeOf(bar, n, bars.length), count(bar.learners, "learners")),
    );
    const label = `Learners by their average: ${bars
      .filter((bar) => bar.learners)
      .map((bar) => `${plain(bar)}: ${bar.learners}`)
      .join(", ")}`;
    return panel(
      definition("distribution"),
      { key: "distribution" },
      some
        ? [
            chart(label, distribution(bars)),
            h("p", { class: "axis" }, "Learners by their average of the last 20 attempts"),
            asTable("Distribution of averages", [{ head: "Average" }, { head: "Learners" }], rows),
          ]
        : empty("No distribution yet: nobody has 3 scored attempts, or too few learners to show."),
    );
  }

  risks() {
    const shown = this.atRisk.slice(0, AT_RISK_SHOWN);
    const more = this.body.at_risk > shown.length;
    return panel(
      definition("at_risk"),
      { key: "risks" },
      shown.length === 0
        ? empty("Nobody stands out today.")
        : h(
            "ul",
            { class: "risks" },
            shown.map((learner) =>
              h(
                "li",
                { key: learner.student_key },
                this.opening(learner),
                h(
                  "span",
                  {},
                  learner.at_risk.reasons.map((reason) =>
                    h("span", { class: "reason", key: reason.code }, reason.text),
                  ),
                ),
              ),
            ),
          ),
      more
        ? h(
            "p",
            {},
            h(
              "button",
              {
                type: "button",
                class: "plain",
                onclick: () => this.page.go({ sort: "at_risk", order: "desc" }),
              },
              `Show all ${this.body.at_risk} in the list of learners`,
            ),
          )
        : null,
    );
  }

  // Not every id may be opened by every school; what is left is the pseudonym, which leads nowhere.
  opening({ student_id: studentId, student_key: key }) {
    if (studentId === null) return id(key, { title: "known by pseudonym only" });
    return h(
      "button",
      { type: "button", class: "link", onclick: () => this.page.openStudent(studentId, this.course) },
      id(studentId),
    );
  }

  roster() {
    const wanted = this.search.toLowerCase();
    const all = this.search ? (this.matches ?? this.body.roster) : this.body.roster;
    const rows = wanted
      ? all.filter((learner) => (learner.student_id ?? learner.student_key).toLowerCase().includes(wanted))
      : all;
    const number = this.cursors.length;
    return panel(
      "Learners",
      { key: "roster" },
      h(
        "div",
        { class: "controls" },
        h(
          "label",
          {},
          h("span", {}, "Search by student id"),
          h("input", {
            type: "search",
            value: this.search,
            autocomplete: "off",
            spellcheck: "false",
            oninput: (event) => this.look(event.target.value),
          }),
        ),
        wanted
          ? h(
              "p",
              { class: "found", role: "status" },
              `${rows.length} of ${this.matches ? all.length : (this.body.learners ?? all.length)} learners`,
            )
          : null,
      ),
      rows.length
        ? table(
            "Learners of the class",
            this.columns(),
            rows.slice(0, MOST).map((learner) => this.line(learner)),
          )
        : empty("No student id contains this."),
      wanted || (number === 1 && !this.body.next_cursor)
        ? null
        : pager("Pages of learners", {
            back: number > 1 ? () => this.turn(() => this.cursors.pop()) : null,
            forward: this.body.next_cursor
              ? () => this.turn(() => this.cursors.push(this.body.next_cursor))
              : null,
            text: `Page ${number}`,
          }),
    );
  }

  turn(step) {
    step();
    this.page.again();
  }

  look(text) {
    const first = !this.search && text;
    this.search = text.trim();
    if (!this.search) this.matches = null;
    if (first) this.page.again();
    this.page.paint();
  }

  columns() {
    const { sort, order } = this.order;
    return SORTABLE.map((name) => {
      const active = name === sort;
      const first = WEAKEST_FIRST.has(name) ? "asc" : "desc";
      const next = active ? (order === "asc" ? "desc" : "asc") : first;
      const text = name === "student_id" ? "Student" : NAMES[name];
      return {
        sorted: active ? (order === "asc" ? "ascending" : "descending") : null,
        head: h(
          "button",
          { type: "button", class: "sort", onclick: () => this.page.go({ sort: name, order: next }) },
          text,
          h("span", { class: "arrow", "aria-hidden": "true" }, active ? (order === "asc" ? "▲" : "▼") : ""),
        ),
      };
    });
  }

  line(learner) {
    return row(
      learner.student_key,
      this.opening(learner),
      [
        percent(learner.mean_last_n, "mean_last_n"),
        learner.provisional ? h("span", { class: "tag" }, definition("provisional", "provisional")) : null,
      ],
      percent(learner.ewma, "ewma"),
      percent(learner.latest, "latest"),
      change(learner.trend, "trend"),
      percentile(learner.percentile_in_course, "percentile_in_course"),
      count(learner.attempts_total),
      dayAndTime(learner.last_activity_at, "last_activity_at"),
      learner.at_risk.flag
        ? learner.at_risk.reasons.map((reason) =>
            h(
              "span",
              { class: "reason", title: reason.text },
              IN_SHORT[reason.code] ?? reason.code,
              h("span", { class: "hidden" }, `: ${reason.text} `),
            ),
          )
        : h("span", { class: "quiet" }, "no"),
    );
  }

  withoutRows() {
    return h(
      "section",
      { class: "panel", key: "without" },
      empty(
        "Your role sees figures of the class without its rows. Tenths are merged until each holds at least 10 learners.",
      ),
    );
  }

  items() {
    const hardest = [...this.body.items].sort(
      (one, other) => (one.correct_rate ?? 2) - (other.correct_rate ?? 2),
    );
    const shown = this.allItems ? hardest : hardest.slice(0, ITEMS_SHOWN);
    const columns = [
      { head: "Task" },
      { head: definition("correct_rate") },
      { head: definition("what-is-counted", "Average") },
      { head: "Attempts" },
      { head: "Learners" },
    ];
    const line = (item) =>
      row(
        item.item_id,
        id(item.item_id),
        share(item.correct_rate),
        percent(item.mean, "correct_rate"),
        count(item.attempts),
        count(item.learners),
      );
    return panel(
      "Tasks, hardest first",
      { key: "items" },
      shown.length ? table("Tasks of the class", columns, shown.map(line)) : empty("No tasks yet."),
      hardest.length > shown.length
        ? h(
            "p",
            {},
            h(
              "button",
              { type: "button", class: "plain", onclick: () => ((this.allItems = true), this.page.paint()) },
              `Show all ${hardest.length} tasks`,
            ),
          )
        : null,
    );
  }
}

function share(value) {
  if (value === null) return missing("nothing is scored yet");
  return h(
    "span",
    { class: "share" },
    h("progress", { max: 1, value, "aria-hidden": "true" }),
    percent(value),
  );
}

function plain({ from, to }) {
  return `${Math.round(from * 100)} to ${Math.round(to * 100)} %`;
}

function rangeOf(bar, n, all) {
  if (all > 1 && n === 0) return `below ${Math.round(bar.to * 100)} %`;
  if (all > 1 && n === all - 1) return `${Math.round(bar.from * 100)} % and more`;
  return plain(bar);
}
