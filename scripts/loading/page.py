"""The report as one page that needs nothing else: to be read on a screen, light or dark, and on paper."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from scripts.frame.report import Report
from scripts.loading.figures import Trial, per_event
from scripts.loading.told import Told, seconds

if TYPE_CHECKING:
    from scripts.loading.plots import Plot

_STYLE = """
:root { color-scheme: light dark; --ink: #111827; --paper: #ffffff; --soft: #6b7280; --line: #e5e7eb;
  --good: #0b7a55; --bad: #b42318; --card: #f9fafb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --paper: #111418; --soft: #9ca3af;
  --line: #2b3138; --good: #4ade9f; --bad: #ff8a80; --card: #191e24; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.1rem; }
.lead, caption, figcaption, footer { color: var(--soft); }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem;
  margin: 1.4rem 0; padding: 0; }
.headline div { padding: .8rem 1rem;
  border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); }
.headline dt { color: var(--soft); font-size: .85rem; }
.headline dd { margin: 0; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.verdicts { list-style: none; padding: 0; }
.verdicts li { padding: .3rem 0; border-bottom: 1px solid var(--line); }
.verdicts b { display: inline-block; min-width: 2.6rem; }
.yes b { color: var(--good); } .no b { color: var(--bad); }
.verdicts span { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
.plots { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; color: var(--soft); break-inside: avoid; } figure svg { width: 100%; height: auto; }
figcaption { color: var(--ink); font-weight: 600; }
code { overflow-wrap: anywhere; } footer { margin-top: 3rem; font-size: .85rem; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .headline div { background: none; } }
"""


def page(told: Told, report: Report, plots: Sequence["Plot"]) -> str:
    """The whole page; the claims are the report's."""
    trial = told.main
    what = f"{trial.peak_rate:,.0f} events a second, {trial.profile}, for {trial.seconds / 60:,.1f} minutes"
    parts = [
        f"<h1>Load test: {escape(what)}</h1>",
        _lead(trial, told),
        _headline(trial, told),
        "<h2>Verdicts</h2>",
        _verdicts(report),
        *([] if not plots else ["<h2>Over time</h2>", _figures(plots)]),
        "<h2>Put → visible</h2>",
        _latencies(trial),
        *([] if told.limit is None else ["<h2>The highest rate</h2>", _limit(told)]),
        "<h2>What became of every event</h2>",
        _proof(trial),
        "<h2>What it cost</h2>",
        _cpu(trial),
        "<h2>Everything else</h2>",
        _rest(report),
        _foot(told),
    ]
    title = f"<title>Load test, {told.started:%Y-%m-%d}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _lead(trial: Trial, told: Told) -> str:
    return (
        f'<p class="lead">{escape(told.target)}, by {escape(trial.way)}; the worker task is '
        f"{escape(told.limits)}. {escape(told.machine)}.</p>"
    )


def _foot(told: Told) -> str:
    return (
        f"<footer>{told.started:%Y-%m-%d %H:%M} UTC, commit {escape(told.commit)}. "
        f"<code>{escape(told.command)}</code><br>Open loop: latency counts from the moment an event was due, "
        "whether or not the system or the generator had time for it; it ends when the state that readers "
        "read shows the attempt.</footer>"
    )


def _headline(trial: Trial, told: Told) -> str:
    found = [
        ("events a second", f"{trial.rate:,.0f}"),
        ("events", f"{trial.sent:,}"),
        ("put → visible, median", seconds(trial.latency.quantiles.get("p50"))),
        ("put → visible, p99", seconds(trial.latency.p99)),
        ("lost, double", f"{trial.lost:,}, {trial.double:,}"),
    ]
    if told.limit is not None:
        rate = told.limit.rate
        found.append(("most with p99 under 1 s", "-" if rate is None else f"{rate:,.0f}/s"))
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in found)
    return f'<dl class="headline">{cells}</dl>'


def _verdicts(report: Report) -> str:
    lines = "".join(
        f'<li class="{"yes" if v.good else "no"}"><b>{"yes" if v.good else "NO"}</b> {escape(v.claim)}'
        f"<span>{': ' if v.detail else ''}{escape(v.detail)}</span></li>"
        for v in report.verdicts
    )
    return f'<ul class="verdicts">{lines}</ul>'


def _figures(plots: Sequence["Plot"]) -> str:
    drawn = "".join(
        f'<figure role="img" aria-label="{escape(plot.told)}"><figcaption>{escape(plot.title)}</figcaption>'
        f"{plot.svg}</figure>"
        for plot in plots
    )
    return f'<div class="plots">{drawn}</div>'


def _latencies(trial: Trial) -> str:
    found = trial.latency
    rows = [(share, seconds(value)) for share, value in found.quantiles.items()]
    caption = f"{found.samples:,} sampled events, {found.unseen:,} never seen"
    return _table(("share", "at most"), [*rows, ("longest", seconds(found.most))], caption)


def _limit(told: Told) -> str:
    rows = [
        (
            f"{trial.peak_rate:,.0f}/s",
            seconds(trial.latency.p99),
            seconds(trial.late_seconds),
            seconds(trial.drain_seconds),
            f"{trial.lost + trial.double:,}",
            "yes" if good else "no",
        )
        for trial, (_, good) in zip(told.trials[1:], told.limit.tried if told.limit else [], strict=False)
    ]
    head = ("offered", "p99", "late by", "caught up after", "lost or double", "held")
    return _table(head, rows, "each rate on the same system, in the order tried")


def _proof(trial: Trial) -> str:
    rows = [(name.replace("_", "-"), f"{count:,}") for name, count in trial.outcomes.items()]
    caption = (
        f"{trial.read:,} events read. {trial.distinct:,} distinct attempts were sent: {trial.found:,} of "
        f"{trial.standing:,} stand in the ledger as they were last graded, {trial.voided:,} were taken back; "
        f"{trial.missing:,} are missing, {trial.unexpected:,} were not expected."
    )
    return _table(("outcome", "events"), rows, caption)


def _cpu(trial: Trial) -> str:
    micros = per_event(trial.cpu_seconds, trial.sent)
    rows = [
        (name, f"{used / trial.cpu_over:.0%}", f"{micros[name]:,.1f}")
        for name, used in trial.cpu_seconds.items()
    ]
    if not rows:
        return "<p>Not ours to see: the system under load runs elsewhere.</p>"
    return _table(("part", "of one core", "µs an event"), rows, f"held back: {trial.throttled}")


def _rest(report: Report) -> str:
    """The figures that no other table holds."""
    told = ("put → visible", "CPU:")
    rows = [(name, _shown(value)) for name, value in report.figures.items() if not name.startswith(told)]
    return _table(("figure", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    told = f"<p class=lead>{escape(caption)}</p>" if caption else ""
    return f'{told}<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _shown(value: object) -> str:
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.1f}"
        if isinstance(value, float)
        else str(value)
    )
