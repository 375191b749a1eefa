"""How a load test is told: verdicts and figures as a summary, everything as JSON, a page and a picture.

The page is written beside the JSON, under the same name; the picture and its plots need matplotlib, and a
machine without it gets the page without plots.
"""

import argparse

from scripts.frame.report import Report
from scripts.frame.script import Run
from scripts.loading import page
from scripts.loading.figures import Trial, per_event
from scripts.loading.profiles import Schedule
from scripts.loading.told import Told, seconds


def intent(run: Run, arguments: argparse.Namespace) -> None:
    """What a run would do."""
    schedule = Schedule(arguments.profile, arguments.rate, arguments.minutes * 60)
    where = "a stack started for it" if arguments.local else "the environment of these settings"
    run.show.say(
        f"would send {len(schedule):,} events of made-up students to {where}, into courses "
        f"`load-{arguments.run}-...` of their own; they stay there"
    )
    run.report.figure("events that would be sent", len(schedule))


def write(run: Run, arguments: argparse.Namespace, told: Told) -> None:
    """Fill the report; write the page and, where it can be drawn, the picture."""
    verdicts(run.report, told, arguments)
    figures(run.report, told)
    run.report.detail("commit", told.commit)
    run.report.detail("command", told.command)
    run.report.detail("machine", told.machine)
    run.report.detail("target", {"name": told.target, "limits": told.limits})
    run.report.detail("trials", told.trials)
    run.report.detail("limit", None if told.limit is None else told.limit._asdict())
    try:
        from scripts.loading import plots  # noqa: PLC0415 - drawn only where matplotlib is
    except ImportError:
        run.show.say("matplotlib is not installed: the page has no plots and there is no picture")
        drawn = []
    else:
        drawn = plots.svgs(told.main)
        picture = arguments.report.with_suffix(".png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        plots.picture(told.main, _title(told), picture)
        run.show.say(f"picture: {picture}")
    file = arguments.report.with_suffix(".html")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.page(told, run.report, drawn))
    run.show.say(f"page: {file}")


def _title(told: Told) -> str:
    trial = told.main
    return (
        f"{trial.peak_rate:,.0f} events/s, {trial.profile}, {trial.seconds / 60:,.1f} min, by {trial.way}; "
        f"{told.started:%Y-%m-%d}, commit {told.commit}"
    )


def verdicts(report: Report, told: Told, arguments: argparse.Namespace) -> None:
    """What was required and what must always hold."""
    trial = told.main
    report.verdict(
        "rate held",
        good=trial.held,
        detail=f"{trial.sent:,} of {trial.planned:,} events taken, {trial.rate:,.0f}/s, late by at most "
        f"{seconds(trial.late_seconds)}",
    )
    if arguments.require_rate is not None:
        report.verdict(
            f"rate at least {arguments.require_rate:,.0f}/s",
            good=trial.reaches(arguments.require_rate),
            detail=f"{trial.required_of:,.0f}/s",
        )
    p99 = trial.latency.p99
    if arguments.require_p99 is not None:
        report.verdict(
            f"p99 put → visible under {seconds(arguments.require_p99)}",
            good=p99 is not None and p99 < arguments.require_p99,
            detail=f"{seconds(p99)} of {trial.latency.samples:,} samples",
        )
    report.verdict(
        "every sample became visible",
        good=trial.latency.samples > 0 and not trial.latency.unseen,
        detail=f"{trial.latency.unseen:,} of {trial.latency.samples + trial.latency.unseen:,} did not",
    )
    _proven(report, [*([told.warm_up] if told.warm_up else []), *told.trials], arguments.require_loss)
    if told.limit is not None:
        found = told.limit.rate
        report.verdict(
            "a rate with p99 under 1 s was found",
            good=found is not None,
            detail="-" if found is None else f"{found:,.0f}/s",
        )


def _proven(report: Report, trials: list[Trial], most: int) -> None:
    """Over every run, the warm-up and the steps to the limit included."""
    lost, double = sum(t.lost for t in trials), sum(t.double for t in trials)
    distinct = sum(t.distinct for t in trials)
    report.verdict(
        "every distinct attempt sent is in the ledger or in dead letters, once",
        good=lost + double <= most and distinct > 0,
        detail=f"{distinct:,} attempts, {lost:,} lost, {double:,} double",
    )
    closes = all(t.closes for t in trials)
    read = sum(t.read for t in trials)
    totals = {name: sum(t.outcomes[name] for t in trials) for name in trials[0].outcomes}
    told = " + ".join(f"{total:,} {name.replace('_', '-')}" for name, total in totals.items())
    report.verdict("the counters close over what was read", good=closes, detail=f"{read:,} read = {told}")
    states, equal = sum(t.states for t in trials), sum(t.states_equal for t in trials)
    report.verdict(
        "readers find what the ledger says",
        good=states == equal > 0,
        detail=f"{equal:,} of {states:,} states",
    )


def figures(report: Report, told: Told) -> None:
    """The headline figures."""
    trial = told.main
    report.figure("events sent", trial.sent)
    report.figure("events a second", round(trial.rate, 1))
    for share, value in trial.latency.quantiles.items():
        report.figure(f"put → visible {share}", seconds(value))
    report.figure("put → visible, longest", seconds(trial.latency.most))
    report.figure("iterator age, highest", seconds(trial.oldest))
    report.figure("readers behind, longest", seconds(trial.furthest_behind))
    report.figure("caught up after the end", seconds(trial.drain_seconds))
    report.figure("a put took, median", seconds(trial.put_p50))
    report.figure("puts refused and repeated", trial.refusals)
    for name, count in trial.retries.items():
        report.figure(name.removesuffix("_total").replace("_", " "), int(count))
    if trial.imbalance is not None:
        report.figure("busiest shard over its share", f"{trial.imbalance:.1%}")
    for name, micros in per_event(trial.cpu_seconds, trial.sent).items():
        used = trial.cpu_seconds[name] / trial.cpu_over
        report.figure(f"CPU: {name}", f"{used:.0%} of a core, {micros:,.0f} µs/event")
    report.figure("worker task", told.limits)
    report.figure("held back", trial.throttled)
    report.figure("the proof took", seconds(trial.proof_seconds))
    if trial.foreign:
        report.figure("events of others meanwhile", trial.foreign)
    if told.limit is not None:
        report.figure("highest rate with p99 under 1 s", told.limit.rate)
