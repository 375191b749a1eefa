// The frame: who is signed in, which view is shown, and when it is asked for again. The address holds course,
// days and order so that a view can be kept as a bookmark; it never holds a student or a token.

import { ask, forget, Problem, purpose, token } from "./api.js";
import { ClassView } from "./class.js";
import { h, render } from "./dom.js";
import { atClock } from "./format.js";
import { OperatorView } from "./operator.js";
import { freshness, loading, problemPanel } from "./parts.js";
import { Poll } from "./poll.js";
import { StudentView } from "./student.js";

const KEPT_IN_ADDRESS = ["view", "course", "from", "to", "sort", "order"];
const STUDENT = "student";
const REPAINT_MS = 5_000;
const PURPOSE_LENGTH = { least: 8, most: 200 };

const VIEWS = {
  class: { name: "Class", roles: ["teacher", "official", "analyst"], make: (page) => new ClassView(page) },
  student: { name: "Student", roles: ["teacher", "official"], make: (page) => new StudentView(page, false) },
  mine: { name: "My scores", roles: ["student"], make: (page) => new StudentView(page, true) },
  system: { name: "System", roles: ["operator"], make: () => new OperatorView() },
};

const top = document.getElementById("top");
const main = document.getElementById("main");
const said = document.getElementById("said");

const SIGN_IN_OFFERED = document.documentElement.dataset.signIn === "offered";

const page = {
  session: null,
  where: {},
  view: null,
  viewName: null,
  problem: null,
  answeredAt: null,
  get student() {
    return sessionStorage.getItem(STUDENT);
  },
  hasRole: (...roles) => roles.some((role) => page.session.roles.includes(role)),
  go(changes) {
    location.hash = fragmentOf({ ...page.where, view: page.viewName, ...changes });
  },
  openStudent(student, course) {
    const before = { ...page.where, student: page.student };
    sessionStorage.setItem(STUDENT, student);
    const target = fragmentOf({ ...page.where, view: "student", course });
    if (location.hash !== target) location.hash = target;
    else arrive(before);
  },
  again() {
    poll.now();
  },
  paint,
  async attempt(work, done = "") {
    try {
      await work();
    } catch (error) {
      failed(error);
      done = "";
    }
    paint();
    if (done) say(done);
  },
};

const poll = new Poll(refresh);

function offered() {
  return Object.entries(VIEWS).filter(([, view]) => page.hasRole(...view.roles));
}

function fragmentOf(where) {
  const kept = KEPT_IN_ADDRESS.filter((name) => where[name]).map((name) => [name, where[name]]);
  return `#${new URLSearchParams(kept)}`;
}

function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(
    KEPT_IN_ADDRESS.filter((name) => given.get(name)).map((name) => [name, given.get(name)]),
  );
}

// A token in the address would stay in the history and in whatever is copied from the address bar.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = given.get("token");
  if (!found) return false;
  given.delete("token");
  history.replaceState(null, "", `${location.pathname}${given.size ? `#${given}` : ""}`);
  token.set(found);
  return true;
}

async function start() {
  if (!token.get()) return signInForm();
  render(top, brand());
  render(main, heading(["Signing in"]), loading());
  try {
    page.session = (await ask("session")).body;
  } catch (error) {
    if (error instanceof Problem && error.status === 401)
      return signedOut("This token is not valid, or it has expired. Please sign in again.");
    if (!(error instanceof Problem)) throw error;
    return render(main, heading(["Student analytics"]), problemPanel(error, start));
  }
  arrive();
}

function arrive(before = { ...page.where, student: page.student }) {
  page.where = readFragment();
  const views = offered();
  const name = views.some(([known]) => known === page.where.view) ? page.where.view : views[0]?.[0];
  const other = name !== page.viewName;
  if (other) {
    page.viewName = name;
    page.view = name ? VIEWS[name].make(page) : null;
    page.answeredAt = null;
  } else {
    page.view?.moved(before);
  }
  page.problem = null;
  paint();
  if (other && before.view) main.querySelector("h1")?.focus();
  if (page.view && !needsPurpose()) poll.now();
  else poll.rest();
}

async function refresh(signal) {
  try {
    await page.view.refresh(signal);
    if (signal.aborted) return null;
    page.answeredAt = performance.now();
    page.problem = null;
  } catch (error) {
    if (signal.aborted) return null;
    failed(error);
  }
  paint();
  return page.problem;
}

function failed(error) {
  if (!(error instanceof Problem)) {
    reportError(error);
    page.problem = new Problem(
      0,
      "This page met an answer that it does not understand",
      "Please tell whoever runs this system.",
      0,
    );
  } else if (error.status === 401) {
    signedOut("Your sign-in has expired. Please sign in again.");
  } else {
    page.problem = error;
  }
}

function needsPurpose() {
  return page.hasRole("official") && ["class", "student"].includes(page.viewName) && !purpose.get();
}

function paint() {
  if (!page.session) return;
  render(top, brand(), navigation(), account());
  if (!page.view) return render(main, nothingToSee());
  document.title = `${page.view.title.map((part) => part.textContent ?? part).join("")} · Student analytics`;
  if (needsPurpose()) return render(main, heading(page.view.title), purposeForm());
  render(main, contents());
}

function contents() {
  const { view, problem, answeredAt } = page;
  const shown = view.shown ?? view.body;
  const title = heading(view.title);
  const lasting = problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429;
  if (problem && (lasting || !shown)) {
    say(problem.title);
    return [
      h("div", { class: "headline", key: "headline" }, title),
      purposeStrip(),
      view.head?.(),
      problemPanel(problem, page.again),
    ];
  }
  if (!shown)
    return [
      h("div", { class: "headline", key: "headline" }, title),
      purposeStrip(),
      view.render(),
      answeredAt === null ? loading() : null,
    ];
  const { strip, spoken } = freshness({
    body: shown,
    problem,
    silentSeconds: (performance.now() - answeredAt) / 1000,
  });
  say(spoken);
  return [h("div", { class: "headline", key: "headline" }, title, strip), purposeStrip(), view.render()];
}

function heading(title) {
  return h("h1", { tabindex: "-1", key: "h1" }, title);
}

function brand() {
  return h(
    "a",
    { class: "brand", href: "./", key: "brand" },
    h("img", { src: "static/icon.svg", alt: "", width: 28, height: 28 }),
    h("span", {}, "Student analytics"),
  );
}

function navigation() {
  const views = offered();
  const course = page.where.course;
  return h(
    "nav",
    { key: "nav", "aria-label": "Views" },
    views.map(([name, view]) =>
      h(
        "a",
        {
          key: name,
          href: fragmentOf({ view: name, course: name === "system" ? null : course }),
          "aria-current": name === page.viewName ? "page" : null,
        },
        view.name,
      ),
    ),
    h("a", { key: "definitions", href: "definitions" }, "Definitions"),
  );
}

function account() {
  const { subject, roles, expires_at: expires } = page.session;
  return h(
    "div",
    { class: "account", key: "account" },
    h(
      "span",
      { class: "who" },
      h("bdi", {}, subject),
      h("small", {}, roles.join(", "), expires ? [" · until ", atClock(expires)] : null),
    ),
    h("button", { type: "button", onclick: signOut }, "Sign out"),
  );
}

function nothingToSee() {
  const producer = page.hasRole("producer");
  return [
    heading(["Student analytics"]),
    h(
      "section",
      { class: "panel", key: "nothing" },
      h(
        "p",
        {},
        producer
          ? "You are signed in as a producer. Producers send events to POST /students; there are no figures here for them."
          : "Your account has no role that sees figures here. Ask whoever runs this system for one.",
      ),
    ),
  ];
}

function purposeForm() {
  const keep = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("purpose").replace(/\s+/g, " ").trim();
    if ([...text].length < PURPOSE_LENGTH.least) return;
    purpose.set(text);
    arrive();
  };
  return h(
    "form",
    { class: "panel narrow", key: "purpose", onsubmit: keep },
    h("h2", {}, "Why do you look?"),
    h(
      "p",
      { id: "purpose-help" },
      "Officials say for what purpose they see data. It is stored with every record you open, and the students can read it. 8 to 200 characters; do not name a student.",
    ),
    h(
      "label",
      {},
      h("span", {}, "Purpose"),
      h("input", {
        name: "purpose",
        required: true,
        minlength: PURPOSE_LENGTH.least,
        maxlength: PURPOSE_LENGTH.most,
        "aria-describedby": "purpose-help",
        autocomplete: "off",
      }),
    ),
    h("button", { type: "submit", class: "main" }, "Continue"),
  );
}

function purposeStrip() {
  if (!page.hasRole("official") || !purpose.get()) return null;
  const anew = () => {
    poll.rest();
    purpose.set(null);
    page.viewName = null;
    arrive();
  };
  return h(
    "p",
    { class: "purpose", key: "strip" },
    "Purpose: ",
    h("bdi", { class: "long" }, purpose.get()),
    h("button", { type: "button", class: "plain", onclick: anew }, "Change"),
  );
}

function signInForm(sentence = "") {
  const enter = (event) => {
    event.preventDefault();
    const given = new FormData(event.target)
      .get("token")
      .trim()
      .replace(/^Bearer\s+/i, "");
    if (!/^[\x21-\x7e]+$/.test(given))
      return signInForm("A token is one word of letters, digits, dots and dashes.");
    token.set(given);
    start();
  };
  document.title = "Sign in · Student analytics";
  render(top, brand());
  render(
    main,
    h(
      "form",
      { class: "panel narrow", key: "signin", onsubmit: enter },
      h("h1", { tabindex: "-1" }, "Sign in"),
      sentence ? h("p", { class: "sentence", role: "alert" }, sentence) : null,
      SIGN_IN_OFFERED ? h("p", {}, h("a", { class: "away", href: "sign-in" }, "Sign in with your school account")) : null,
      h(
        "p",
        { id: "token-help" },
        `${SIGN_IN_OFFERED ? "Or paste" : "Paste"} the access token that your school's sign-in gave you. It stays in this tab and is forgotten when you close it.`,
      ),
      h(
        "label",
        {},
        h("span", {}, "Access token"),
        h("input", {
          name: "token",
          type: "password",
          required: true,
          autocomplete: "off",
          spellcheck: "false",
          "aria-describedby": "token-help",
        }),
      ),
      h("button", { type: "submit", class: "main" }, "Sign in"),
      h("p", { class: "quiet" }, h("a", { href: "definitions" }, "How scores are computed")),
    ),
  );
  if (sentence) main.querySelector("h1").focus();
}

function signedOut(sentence) {
  poll.rest();
  forget();
  Object.assign(page, { session: null, view: null, viewName: null, problem: null, answeredAt: null });
  signInForm(sentence);
}

function signOut() {
  history.replaceState(null, "", location.pathname);
  signedOut("You are signed out.");
}

// Only what changes is said, so that a reader is not talked to every three seconds.
function say(text) {
  if (said.textContent !== text) said.textContent = text;
}

addEventListener("hashchange", () => {
  const before = { ...page.where, student: page.student };
  if (takeToken()) {
    poll.rest();
    Object.assign(page, { session: null, view: null, viewName: null });
    start();
  } else if (page.session) {
    arrive(before);
  }
});
setInterval(() => document.hidden || paint(), REPAINT_MS);

takeToken();
start();
