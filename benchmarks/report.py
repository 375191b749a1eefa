"""`python -m benchmarks.report`: the figures and plots of three pages of docs/, from the kept results alone.

What was measured is in performance.md, the plans reckoned from it are in growth.md and scale.md. Their prose
is written by hand and holds no figure of a result; what stands between two marks is made here, so that no
page says what nobody measured. `--check` tells what on a page is not what the results say.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from benchmarks.drawing import Plot, is_drawn, save
from benchmarks.pages import GOALS, PAGES, PERFORMANCE, Content
from benchmarks.result import FOLDER, Result, kept
from benchmarks.suites import SUITES

__all__ = ["AGAIN", "ALL", "GOALS", "PAGE", "between", "found", "main", "make", "replaced", "stale"]
DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
ALL = tuple(DOCS / f"{name}.md" for name in PAGES)
AGAIN = "python -m benchmarks.report"


def main(argv: Sequence[str] | None = None) -> int:
    """Make the pages, or check them; 0 when they say what the results say, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog=AGAIN, description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, tell what is out of date")
    parser.add_argument("--page", type=Path, help="only this one; pictures go in a folder beside it")
    parser.add_argument("--results", type=Path, default=FOLDER, help="the folder of results")
    given = parser.parse_args(argv)
    pages = ALL if given.page is None else (given.page,)
    if missing := [str(page) for page in pages if not page.exists()]:
        parser.error(f"{', '.join(missing)}: not there, and the prose is written by hand")
    if given.check:
        wrong = [line for page in pages for line in stale(page, given.results)]
        print(
            "\n".join([*wrong, f"make it anew: {AGAIN}"]) if wrong else "the pages are what the results say"
        )
        return 1 if wrong else 0
    for path in (path for page in pages for path in make(page, given.results)):
        print(path)
    return 0


def make(page: Path, folder: Path) -> list[Path]:
    """Write the page and the pictures that are not drawn yet; what was written."""
    content, results = _content(page), found(folder)
    written = []
    text = page.read_text()
    for name, block in content.blocks(results, page.stem).items():
        text = replaced(text, name, block)
    if text != page.read_text():
        page.write_text(text)
        written.append(page)
    pictures, plots = _pictures(page), content.plots(results)
    written += [save(plot, pictures) for plot in plots if not is_drawn(plot, pictures)]
    for orphan in _orphans(plots, pictures):
        orphan.unlink()
    return written


def stale(page: Path, folder: Path) -> list[str]:
    """What on the page is not what the results say."""
    content, results, text = _content(page), found(folder), page.read_text()
    blocks_now = content.blocks(results, page.stem).items()
    wrong = [
        f"{page.name}: {name} is out of date" for name, block in blocks_now if between(text, name) != block
    ]
    pictures, plots = _pictures(page), content.plots(results)
    wrong += [
        f"{pictures.name}/{plot.name}.png shows other figures, or is not there"
        for plot in plots
        if not is_drawn(plot, pictures)
    ]
    return wrong + [f"{pictures.name}/{path.name} is of no result" for path in _orphans(plots, pictures)]


def found(folder: Path) -> dict[str, Result]:
    """Every suite that was run, by name; a file in another form is as good as none."""
    results = {}
    for suite in SUITES:
        with suppress(FileNotFoundError, msgspec.DecodeError):
            results[suite.name] = kept(suite.name, folder)
    return results


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


def _content(page: Path) -> Content:
    return PAGES.get(page.stem, PERFORMANCE)


def _pictures(page: Path) -> Path:
    """The folder of a page's pictures."""
    return page.with_suffix("")


def _orphans(plots: Sequence[Plot], pictures: Path) -> list[Path]:
    """Pictures that no result gives any more."""
    names = {f"{plot.name}.png" for plot in plots}
    return sorted(path for path in pictures.glob("*.png") if path.name not in names)


if __name__ == "__main__":
    sys.exit(main())
