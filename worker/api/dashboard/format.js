// One way to write each kind of value, so that a figure looks the same wherever it stands. A value that is
// missing says why and is never a zero.

import { h } from "./dom.js";

const MINUS = "\u2212";
const THIN = "\u202f";
const DAY_MS = 86_400_000;

const whole = new Intl.NumberFormat("en");
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const points = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});
const thisYear = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const shortDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const WHY_EMPTY = {
  mean_last_n: "nothing is scored yet",
  ewma: "nothing is scored yet",
  latest: "nothing is scored yet",
  best: "nothing is scored yet",
  trend: "fewer than 3 scored attempts",
  mean_last_7d: "no scored attempt in the last 7 days",
  mean_last_30d: "no scored attempt in the last 30 days",
  last_activity_at: "no attempt stands",
  percentile_in_course: "fewer than 3 scored attempts, or a class of fewer than 10",
  correct_rate: "nothing is scored yet",
  mean: "nothing to compute from, or too few learners to show",
  learners: "hidden: too few learners",
  mean_of_course_means: "no course has a scored attempt",
  score: "no score yet",
  stale_seconds: "not known",
};

export function missing(why) {
  return h(
    "span",
    { class: "missing", title: why },
    h("span", { "aria-hidden": "true" }, "–"),
    h("span", { class: "hidden" }, `no value: ${why}`),
  );
}

const or = (write) => (value, why) =>
  value === null || value === undefined ? missing(WHY_EMPTY[why] ?? why ?? "not known") : write(value);

export const count = or((value) => whole.format(value));
export const percent = or((value) => `${signed(tenth.format(value * 100))}${THIN}%`);
export const number = or((value) => signed(points.format(value)));
export const change = or((value) => {
  const shown = tenth.format(Math.abs(value * 100));
  const sign = shown === "0.0" ? "±" : value < 0 ? MINUS : "+";
  return h(
    "span",
    {},
    h("span", { class: "arrow", "aria-hidden": "true" }, shown === "0.0" ? "→" : value < 0 ? "↘" : "↗"),
    ` ${sign}${shown}`,
  );
});
export const percentile = or((value) => tenth.format(value));
export const rate = or(
  (value) => `${value >= 100 ? whole.format(Math.round(value)) : tenth.format(value)}/s`,
);
export const when = or((value) => timeOf(value, moment));
export const dayAndTime = or((value) =>
  timeOf(value, new Date(value).getFullYear() === new Date().getFullYear() ? thisYear : moment),
);
export const atClock = or((value) => timeOf(value, clock));
export const duration = or((seconds) => {
  if (seconds < 60) return `${tenth.format(seconds)} s`;
  if (seconds < 3600) return `${whole.format(Math.floor(seconds / 60))} min ${Math.floor(seconds % 60)} s`;
  return `${whole.format(Math.floor(seconds / 3600))} h ${Math.floor((seconds % 3600) / 60)} min`;
});

export function day(value) {
  return shortDay.format(new Date(value));
}

export function ago(value, now) {
  const days = Math.floor((now - new Date(value)) / DAY_MS);
  if (days <= 0) return "in the last 24 hours";
  return days === 1 ? "1 day ago" : `${whole.format(days)} days ago`;
}

// Ids are written by strangers: whatever direction their letters run, the text around them keeps its own.
export function id(value, attributes = {}) {
  return h("bdi", { class: "id", title: value, ...attributes }, value);
}

function timeOf(value, format) {
  return h("time", { datetime: value, title: `${value} (UTC)` }, format.format(new Date(value)));
}

function signed(text) {
  return text.replace("-", MINUS);
}
