"""`python -m tests.model`: explore configurations, or take guards away and tell what breaks."""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.model.ablations import Ablation, ablations
from tests.model.configurations import large, small
from tests.model.explore import Result, explore
from tests.model.world import Configuration


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 1 if an invariant is violated, or a guard not missed."""
    arguments = _parser().parse_args(argv)
    if arguments.ablations:
        return _ablate([a for a in ablations() if _wanted(a.guard, arguments.names)])
    everything = [*small(), *large()]
    if arguments.list:
        print(*(configuration.name for configuration in everything), sep="\n")
        return 0
    chosen = everything if arguments.all or arguments.names else small()
    return _explore([c for c in chosen if _wanted(c.name, arguments.names)], arguments.jobs, arguments.limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description="Explore the consumer protocol's model. Without options: the small configurations.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only those whose name contains one of these"
    )
    parser.add_argument("--all", action="store_true", help="the large configurations too; takes many minutes")
    parser.add_argument("--list", action="store_true", help="list all configurations")
    parser.add_argument(
        "--ablations", action="store_true", help="take each guard away and tell the shortest counterexample"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument(
        "--limit",
        type=int,
        default=10_000_000,
        help="states after which a configuration is given up (10 million)",
    )
    return parser


def _wanted(name: str, parts: Sequence[str]) -> bool:
    return not parts or any(part in name for part in parts)


def _explore(configurations: Sequence[Configuration], jobs: int, limit: int) -> int:
    states, bad = 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        searches = [pool.submit(_search, configuration, limit) for configuration in configurations]
        for search in searches:
            result = search.result()
            states += result.states
            bad += result.violation is not None or not result.complete
            _tell(result)
    print(f"{len(configurations)} configurations, {states:,} states, {bad} not right")
    return 1 if bad or not configurations else 0


def _search(configuration: Configuration, limit: int) -> Result:
    return explore(configuration, limit, _progress(configuration.name))


def _progress(name: str) -> Callable[[int, float], None]:
    def tell(states: int, seconds: float) -> None:
        print(
            f"  ... {name}: {states:,} states, {states / seconds:,.0f} a second", file=sys.stderr, flush=True
        )

    return tell


def _tell(result: Result) -> None:
    verdict = "VIOLATED" if result.violation else "right" if result.complete else "GIVEN UP"
    name = result.configuration.name
    print(
        f"{name:52} {result.states:10,} states {result.steps:11,} steps {result.resting:6,} at rest "
        f"{result.seconds:7.1f} s  {verdict}",
        flush=True,
    )
    _tell_trace(result)


def _tell_trace(result: Result) -> None:
    if result.violation:
        for number, step in enumerate(result.trace, 1):
            print(f"    {number:2} {step}")
        print(f"    => {result.violation.invariant}: {result.violation.because}")


def _ablate(chosen: Sequence[Ablation]) -> int:
    unmissed = 0
    for ablation in chosen:
        result = explore(ablation.configuration.without(ablation.guard))
        found = result.violation.invariant if result.violation else None
        unmissed += found != ablation.invariant
        print(f"without {ablation.guard}: {result.states:,} states, {result.seconds:.1f} s")
        _tell_trace(result)
    print(f"{len(chosen)} guards taken away, {unmissed} not missed")
    return 1 if unmissed or not chosen else 0


if __name__ == "__main__":
    raise SystemExit(main())
