"""Results as tables of the page: every promise with what was measured, every figure with where it is from.

Nothing here knows a figure: what a suite has not found is shown as missing.
"""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.result import Goal, Machine, Result
from benchmarks.suites import Suite

_LONGEST_LIST = 6
_LONGEST_TABLE = 60
_LONGEST_WORD = 80
_MISSING = "*not measured yet*"


def goals(suites: Sequence[Suite], results: Mapping[str, Result]) -> str:
    """The table of promises, what binds where one is missed, and how each was taken."""
    head = ["| goal | what | measured | promised | met |", "|---|---|--:|--:|:-:|"]
    rows = [row for suite in suites for row in _goals(suite, results.get(suite.name))]
    return "\n".join([*head, *rows, "", *_missed(suites, results), *_taken(suites, results)])


def taken(result: Result) -> str:
    """When, of what, where and how a result was taken."""
    return f"Taken {result.date}, commit `{result.commit}`, {machine(result.machine)}: `{result.command}`"


def machine(where: Machine) -> str:
    """A machine in one line; what is not known of it is left out."""
    memory = f", {where.memory:g} GiB" if where.memory else ""
    kernel = f", Linux {where.kernel}" if where.kernel else ""
    cores = f"{where.cores} core{'' if where.cores == 1 else 's'}"
    return f"{cores} ({where.processor}){memory}{kernel}, Python {where.python}"


def words(result: Result) -> str:
    """What a suite says in sentences: what it was given, what it could not do, what a figure stands for."""
    pieces = []
    for name, value in result.figures.items():
        title = f"*{name.replace('_', ' ').capitalize()}.*"
        match value:
            case str() if _is_long(value):
                pieces.append(f"{title} {value}")
            case Mapping() if value and _is_prose(value):
                pieces.append(
                    "\n".join([title, "", *(f"- **{one}**: {said}" for one, said in value.items())])
                )
    return "\n\n".join(pieces)


def figures(result: Result) -> str:
    """Every figure of a suite, folded away; long lists and tables are in its file."""
    rows = []
    for name, value in result.figures.items():
        if isinstance(value, str) and _is_long(value):
            continue
        if isinstance(value, Mapping) and _is_prose(value):
            continue
        told = [f"| {place} | {number} |" for place, number in _flat(value, name)]
        if len(told) > _LONGEST_TABLE:
            file = f"[{result.suite}.json](../benchmarks/results/{result.suite}.json)"
            told = [f"| {_cell(name)} | {len(told)} figures, in {file} |"]
        rows += told
    if not rows:
        return ""
    summary = f"<summary>every figure of {result.suite}</summary>"
    table = "\n".join(["| figure | |", "|---|--:|", *rows])
    return f"<details>{summary}\n\n{table}\n\n</details>"


def _is_long(text: str) -> bool:
    return len(text) > _LONGEST_WORD


def _is_prose(values: Mapping[object, object]) -> bool:
    """Whether all of it is text, and some of it long."""
    texts = [value for value in values.values() if isinstance(value, str)]
    return len(texts) == len(values) and any(map(_is_long, texts))


def number(value: float) -> str:
    """With as many digits as anybody reads: whole from a hundred on, else three."""
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


def _goals(suite: Suite, result: Result | None) -> Iterator[str]:
    name = suite.goal or "-"
    if result is None:
        yield f"| {name} | {suite.about} | {_MISSING} | | |"
    elif not result.goals:
        yield f"| {name} | {suite.about} | [figures](#{suite.name}) | | |"
    for goal in () if result is None else result.goals:
        bound = "at least" if goal.at_least else "at most"
        promised = f"{bound} {with_unit(goal.limit, goal.unit)}"
        met = "yes" if goal.met else "**no**"
        yield f"| {name} | {_cell(goal.what)} | {with_unit(goal.value, goal.unit)} | {promised} | {met} |"


def _missed(suites: Sequence[Suite], results: Mapping[str, Result]) -> Iterator[str]:
    missed = [
        (suite, goal)
        for suite in suites
        if suite.name in results
        for goal in results[suite.name].goals
        if not goal.met
    ]
    if missed:
        yield "What binds where a goal is missed:"
        yield ""
        yield from (f"- **{suite.goal}** {goal.what}: {_reason(goal)}" for suite, goal in missed)
        yield ""


def _reason(goal: Goal) -> str:
    return goal.binds.strip() or "the suite does not say"


def _taken(suites: Sequence[Suite], results: Mapping[str, Result]) -> Iterator[str]:
    yield "| suite | date | commit | again by |"
    yield "|---|---|---|---|"
    for suite in suites:
        result = results.get(suite.name)
        when = "| " if result is None else f"{result.date} | `{result.commit}`"
        yield f"| [{suite.name}](#{suite.name}) | {when} | `make bench-{suite.name}` |"


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _flat(inner, f"{path}: {name}" if path else str(name))
        case bool() | None:
            yield _cell(path), {True: "yes", False: "no", None: "-"}[value]
        case int() | float():
            yield _cell(path), number(value)
        case str():
            yield _cell(path), _cell(value)
        case [*items] if len(numbers := [item for item in items if isinstance(item, int | float)]) == len(
            items
        ):
            if len(items) <= _LONGEST_LIST:
                yield _cell(path), ", ".join(map(number, numbers))
        case [*items]:
            for place, item in enumerate(items):
                yield from _flat(item, f"{path} {place + 1}")
        case _:
            yield _cell(path), _cell(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("_", "\\_")
