"""`python -m benchmarks.report`: the figures and plots of docs/performance.md, from the kept results alone.

The prose of the page is written by hand and holds no figure; what stands between two marks is made here, so
that the page cannot say what nobody measured. `--check` tells what on the page is not what the results say.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import msgspec

from benchmarks import tables
from benchmarks.drawing import SHOWN_WIDTH, Plot, is_drawn, save
from benchmarks.plots import plots
from benchmarks.result import FOLDER, Result, kept
from benchmarks.suites import SUITES

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
GOALS = "goals"
AGAIN = "python -m benchmarks.report"


def main(argv: Sequence[str] | None = None) -> int:
    """Make the page, or check it; 0 when it says what the results say, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog=AGAIN, description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, tell what is out of date")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; pictures go in a folder beside it")
    parser.add_argument("--results", type=Path, default=FOLDER, help="the folder of results")
    given = parser.parse_args(argv)
    if not given.page.exists():
        parser.error(f"{given.page} is not there: its prose is written by hand")
    if given.check:
        wrong = stale(given.page, given.results)
        print("\n".join([*wrong, f"make it anew: {AGAIN}"]) if wrong else "the page is what the results say")
        return 1 if wrong else 0
    for path in make(given.page, given.results):
        print(path)
    return 0


def make(page: Path, folder: Path) -> list[Path]:
    """Write the page and the pictures that are not drawn yet; what was written."""
    results = found(folder)
    written = []
    text = page.read_text()
    for name, block in blocks(results, page.stem).items():
        text = replaced(text, name, block)
    if text != page.read_text():
        page.write_text(text)
        written.append(page)
    pictures = _pictures(page)
    written += [save(plot, pictures) for plot in _plots(results) if not is_drawn(plot, pictures)]
    for orphan in _orphans(results, page):
        orphan.unlink()
    return written


def stale(page: Path, folder: Path) -> list[str]:
    """What on the page is not what the results say."""
    results, text = found(folder), page.read_text()
    blocks_now = blocks(results, page.stem).items()
    wrong = [
        f"{page.name}: {name} is out of date" for name, block in blocks_now if between(text, name) != block
    ]
    pictures = _pictures(page)
    wrong += [
        f"{pictures.name}/{plot.name}.png shows other figures, or is not there"
        for plot in _plots(results)
        if not is_drawn(plot, pictures)
    ]
    return wrong + [f"{pictures.name}/{path.name} is of no result" for path in _orphans(results, page)]


def found(folder: Path) -> dict[str, Result]:
    """Every suite that was run, by name; a file in another form is as good as none."""
    results = {}
    for suite in SUITES:
        with suppress(FileNotFoundError, msgspec.DecodeError):
            results[suite.name] = kept(suite.name, folder)
    return results


def blocks(results: Mapping[str, Result], pictures: str) -> dict[str, str]:
    """What stands between the marks of each name; `pictures` is their folder as the page names it."""
    made = {GOALS: tables.goals(SUITES, results)}
    for suite in SUITES:
        result = results.get(suite.name)
        if result is None:
            made[suite.name] = f"*Not measured yet: `make bench-{suite.name}`.*"
            continue
        drawn = [_image(plot, pictures) for plot in plots(result)]
        pieces = [*drawn, tables.taken(result), tables.words(result), tables.figures(result)]
        made[suite.name] = "\n\n".join(piece for piece in pieces if piece)
    return made


def _image(plot: Plot, pictures: str) -> str:
    """As wide as it reads well, and no wider than the screen."""
    return f'<img src="{pictures}/{plot.name}.png" width="{SHOWN_WIDTH}" alt="{escape(plot.told)}">'


def between(text: str, name: str) -> str | None:
    """What stands between the marks of that name, None where they are not there."""
    match = _marks(name).search(text)
    return match[1].strip() if match else None


def replaced(text: str, name: str, block: str) -> str:
    """The text with this between the marks.

    Raises:
        ValueError: the marks are not there.
    """
    new, count = _marks(name).subn(lambda _: f"<!-- {name} -->\n\n{block}\n\n<!-- /{name} -->", text)
    if count != 1:
        msg = f"the page needs <!-- {name} --> and <!-- /{name} --> once, and has them {count} times"
        raise ValueError(msg)
    return new


def _marks(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name} -->(.*?)<!-- /{name} -->", re.DOTALL)


def _plots(results: Mapping[str, Result]) -> list[Plot]:
    return [plot for result in results.values() for plot in plots(result)]


def _pictures(page: Path) -> Path:
    """The folder of a page's pictures."""
    return page.with_suffix("")


def _orphans(results: Mapping[str, Result], page: Path) -> list[Path]:
    """Pictures that no result gives any more."""
    names = {f"{plot.name}.png" for plot in _plots(results)}
    return sorted(path for path in _pictures(page).glob("*.png") if path.name not in names)


if __name__ == "__main__":
    sys.exit(main())
