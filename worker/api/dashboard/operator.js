// The system: is it keeping up, and what could it not use?

import { ask } from "./api.js";
import { throughput } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, id, missing, rate, when } from "./format.js";
import { asTable, chart, definition, empty, figure, panel, row, STALE_SECONDS, table } from "./parts.js";

const KEPT = 100;
const OVER_SECONDS = 30;
const LONGEST_GAP_SECONDS = 60;

const UNKNOWN = "Not known while the ledger is away.";

const EVENTS = {
  read: "read from the stream",
  applied: "counted for the first time",
  revised: "replaced an earlier grade",
  duplicate: "known already",
  superseded: "older than what stands",
  redelivered: "read twice, counted once",
  erased: "of erased students",
  dead_lettered: "can never count",
};

export class OperatorView {
  constructor() {
    this.body = null;
    this.samples = [];
  }

  get title() {
    return ["System"];
  }

  moved() {}

  async refresh(signal) {
    const { body } = await ask("metrics", {}, signal);
    const counted = body.ledger === "answers";
    if (counted) this.sample(body);
    else this.samples = [];
    this.body = counted ? body : withoutCounts(body);
  }

  // Rates come from counters of two answers; a counter that went back was restarted, and a long gap (a hidden
  // tab) is no measurement of the present.
  sample({ events, shards }) {
    const now = Date.now() / 1000;
    const last = this.samples.at(-1);
    if (last && (events.read < last.events.read || now - last.at > LONGEST_GAP_SECONDS)) this.samples = [];
    this.samples.push({
      at: now,
      events,
      shards: Object.fromEntries(shards.map((shard) => [shard.shard, shard.read])),
    });
    this.samples.splice(0, this.samples.length - KEPT);
  }

  perSecond(valueOf) {
    const last = this.samples.at(-1);
    if (!last) return null;
    const first = this.samples.find((sample) => sample.at >= last.at - OVER_SECONDS);
    if (first === last) return null;
    const change = valueOf(last) - valueOf(first);
    return Number.isFinite(change) && change >= 0 ? change / (last.at - first.at) : null;
  }

  get history() {
    return this.samples.slice(1).map((sample, n) => {
      const before = this.samples[n];
      const seconds = sample.at - before.at;
      return {
        at: sample.at,
        read: (sample.events.read - before.events.read) / seconds,
        applied: (sample.events.applied - before.events.applied) / seconds,
      };
    });
  }

  render() {
    if (!this.body) return [];
    return [
      this.figures(),
      h(
        "div",
        { class: "columns", key: "middle" },
        h("div", { class: "stack", key: "stack" }, this.throughput(), this.deadLetters()),
        this.events(),
      ),
      this.shards(),
    ];
  }

  figures() {
    const { shards, events, redis, ledger } = this.body;
    const ages = shards.map((shard) => shard.iterator_age_seconds).filter((age) => age !== null);
    const oldest = ages.length ? Math.max(...ages) : null;
    const late = oldest !== null && oldest > STALE_SECONDS;
    const server = (name, state) =>
      h(
        "div",
        { class: "figure", key: name },
        h("dt", {}, name),
        h("dd", { class: state === "answers" ? "" : "bad" }, state),
      );
    return h(
      "dl",
      { class: "figures", key: "figures" },
      figure(
        "iterator_age_seconds",
        duration(oldest, "no shard has said it yet"),
        late ? "too old" : `oldest of ${shards.length} shards`,
        { label: "Iterator age", class: late ? "late" : "" },
      ),
      figure(
        "events",
        rate(
          this.perSecond((sample) => sample.events.read),
          "needs two answers",
        ),
        "read, over the last 30 s",
        { label: "Throughput" },
      ),
      figure(
        "dead_letters",
        count(events?.dead_lettered, "the ledger is away"),
        !events ? "not known now" : events.dead_lettered ? "see the reasons below" : "every event was usable",
        { label: "Dead letters" },
      ),
      server("Redis", redis),
      server("Ledger", ledger),
    );
  }

  throughput() {
    const { history } = this;
    const rows = history
      .slice(-20)
      .map((sample) =>
        row(
          `${sample.at}`,
          new Date(sample.at * 1000).toLocaleTimeString("en-GB"),
          rate(sample.read),
          rate(sample.applied),
        ),
      );
    return panel(
      "Events a second",
      { key: "throughput" },
      history.length
        ? [
            chart(`Events read a second, now ${history.at(-1).read.toFixed(1)}`, throughput(history)),
            h("p", { class: "axis" }, "Read; dashed: counted for the first time. Since this page is open."),
            asTable("Events a second", [{ head: "Time" }, { head: "Read" }, { head: "Applied" }], rows),
          ]
        : empty("Measuring: a rate needs two answers."),
    );
  }

  events() {
    const { events } = this.body;
    if (!events)
      return panel(definition("events", "Every event accounted for"), { key: "events" }, empty(UNKNOWN));
    const { read, ...kinds } = events;
    const accounted = Object.values(kinds).reduce((sum, value) => sum + value, 0) === read;
    const line = ([name, text]) =>
      row(
        name,
        h("span", {}, name.replace("_", "-"), h("small", { class: "quiet" }, text)),
        count(events[name]),
        rate(
          this.perSecond((sample) => sample.events[name]),
          "needs two answers",
        ),
      );
    return panel(
      definition("events", "Every event accounted for"),
      { key: "events" },
      h(
        "p",
        { class: accounted ? "quiet" : "bad" },
        accounted
          ? "What was read equals the sum of what became of it."
          : "What was read is not the sum of what became of it.",
      ),
      table(
        "Events by what became of them",
        [{ head: "Events" }, { head: "Total" }, { head: "Now" }],
        Object.entries(EVENTS).map(line),
      ),
    );
  }

  shards() {
    const columns = [
      { head: "Shard" },
      { head: definition("iterator_age_seconds", "Iterator age") },
      { head: "Read" },
      { head: "Now" },
      { head: "Dead letters" },
      { head: "Committed" },
    ];
    const line = (shard) => {
      const late = shard.iterator_age_seconds > STALE_SECONDS;
      return row(
        shard.shard,
        id(shard.shard),
        late
          ? h("span", { class: "bad" }, duration(shard.iterator_age_seconds), " late")
          : duration(shard.iterator_age_seconds, "not known yet"),
        count(shard.read, "the ledger is away"),
        rate(
          this.perSecond((sample) => sample.shards[shard.shard]),
          "needs two answers",
        ),
        count(shard.dead_lettered, "the ledger is away"),
        when(shard.committed_at, "nothing committed yet"),
      );
    };
    return panel(
      "Shards",
      { key: "shards" },
      this.body.shards.length
        ? table("Shards", columns, this.body.shards.map(line))
        : empty("No shard is being read."),
    );
  }

  deadLetters() {
    const { dead_letters: reasons } = this.body;
    const title = definition("dead_letters", "Dead letters by reason");
    if (!reasons) return panel(title, { key: "dead" }, empty(UNKNOWN));
    const total = reasons.reduce((sum, reason) => sum + reason.count, 0);
    const line = (reason) =>
      row(
        reason.reason,
        id(reason.reason),
        count(reason.count),
        total ? `${Math.round((100 * reason.count) / total)} %` : missing("none"),
      );
    return panel(
      title,
      { key: "dead" },
      reasons.length
        ? table(
            "Dead letters by reason",
            [{ head: "Reason" }, { head: "Count" }, { head: "Share" }],
            reasons.map(line),
          )
        : empty("None. Every event was usable."),
    );
  }
}

// The counters live in the ledger; while it is away their zeros mean nothing.
function withoutCounts(body) {
  const shards = body.shards.map((shard) => ({
    ...shard,
    read: null,
    dead_lettered: null,
    committed_at: null,
  }));
  return { ...body, events: null, dead_letters: null, shards };
}
