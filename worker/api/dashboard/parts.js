// What several views are made of: figures that lead to their definition, panels, tables, states.

import { h } from "./dom.js";
import { atClock, duration } from "./format.js";

export const STALE_SECONDS = 30;

export const NAMES = {
  attempts_total: "Attempts",
  attempts_scored: "Scored attempts",
  attempts_window: "Attempts in the window",
  mean_last_n: "Average, last 20",
  latest: "Latest result",
  best: "Best result",
  ewma: "Recent work",
  trend: "Trend per attempt",
  mean_last_7d: "Average, 7 days",
  mean_last_30d: "Average, 30 days",
  last_activity_at: "Last activity",
  percentile_in_course: "Place in class",
  at_risk: "At risk",
  learners: "Learners",
  mean: "Class average",
  distribution: "Distribution of averages",
  correct_rate: "Correct",
  mean_of_course_means: "Average of courses",
};

export function definition(name, text = NAMES[name]) {
  return h("a", { class: "term", href: `definitions#${name}`, title: "What this figure means" }, text);
}

export function figure(name, value, note = null, attributes = {}) {
  return h(
    "div",
    { class: `figure ${attributes.class ?? ""}`, key: name },
    h("dt", {}, definition(name, attributes.label)),
    h("dd", {}, value),
    note ? h("dd", { class: "note" }, note) : null,
  );
}

export function panel(title, attributes, ...children) {
  const name = `p-${attributes.key}`;
  return h(
    "section",
    { ...attributes, class: `panel ${attributes.class ?? ""}`, "aria-labelledby": name },
    h("h2", { id: name }, title),
    ...children,
  );
}

export function empty(...text) {
  return h("p", { class: "empty" }, ...text);
}

// A table that is wider than a phone scrolls by itself, and a keyboard can reach it.
export function table(name, columns, rows, attributes = {}) {
  const head = columns.map((column) =>
    h("th", { scope: "col", class: column.class, "aria-sort": column.sorted }, column.head),
  );
  return h(
    "div",
    { class: "scroll", role: "group", tabindex: "0", "aria-label": name, ...attributes },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, name),
      h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, rows),
    ),
  );
}

export function row(key, first, ...cells) {
  return h(
    "tr",
    { key },
    h("th", { scope: "row" }, first),
    cells.map((cell) => h("td", {}, cell)),
  );
}

export function chart(label, draw) {
  return h("div", { class: "chart", "data-chart": true, keep: true, role: "img", "aria-label": label, draw });
}

export function asTable(name, columns, rows) {
  return h("details", { class: "twin" }, h("summary", {}, "The same as a table"), table(name, columns, rows));
}

export function pager(label, { back, forward, text }) {
  return h(
    "nav",
    { class: "pager", "aria-label": label },
    h("button", { type: "button", disabled: !back, onclick: back }, "Previous"),
    h("span", {}, text),
    h("button", { type: "button", disabled: !forward, onclick: forward }, "Next"),
  );
}

export function problemPanel(problem, again) {
  return h(
    "section",
    { class: "panel trouble", key: "problem", role: "alert" },
    h("h2", {}, problem.title),
    problem.detail ? h("p", {}, problem.detail) : null,
    h("p", {}, h("button", { type: "button", onclick: again }, "Try again")),
  );
}

export function loading() {
  return h(
    "section",
    { class: "panel waiting", key: "loading", "aria-busy": "true" },
    h("p", {}, "Asking for the figures …"),
    h("div", { class: "bones", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
  );
}

// What is known about the age of what is shown, worst first.
export function freshness({ body, problem, silentSeconds }) {
  const silent = silentSeconds > STALE_SECONDS;
  const stale = body.stale_seconds !== null && body.stale_seconds > STALE_SECONDS;
  const marks = [];
  const spoken = [
    problem?.title,
    silent && "No new answer",
    stale && "The figures are stale",
    body.degraded && "The figures are taken from the ledger",
  ].filter(Boolean);
  if (problem) marks.push(h("span", { class: "mark bad" }, `${problem.title}; showing the last answer`));
  if (silent)
    marks.push(h("span", { class: "mark bad" }, `No new answer for ${Math.round(silentSeconds)} s`));
  if (stale)
    marks.push(h("span", { class: "mark warn" }, "Stale: ", duration(body.stale_seconds), " behind"));
  if (body.degraded)
    marks.push(
      h("span", { class: "mark warn" }, definition("degraded", "Degraded"), ": taken from the ledger"),
    );
  const behind =
    body.stale_seconds === null || body.stale_seconds === undefined
      ? "delay not known"
      : [duration(body.stale_seconds), " behind"];
  const strip = h(
    "p",
    { class: `fresh ${problem || silent ? "bad" : stale || body.degraded ? "warn" : "good"}`, key: "fresh" },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h(
      "span",
      {},
      definition("as_of", "As of"),
      " ",
      atClock(body.as_of),
      " · ",
      definition("stale_seconds", behind),
    ),
    marks,
  );
  return { strip, spoken: spoken.join(". ") || "The figures are up to date" };
}
