"""The page's files, their types and tags, and what protects them."""

import re
from pathlib import Path

import pytest

from worker.api import page
from worker.api.page import SECURITY_HEADERS, UnexpectedAsset, assets, definitions

ROOT = Path(__file__).parents[3]


def text(path: str) -> str:
    return assets()[path].body.decode()


def test_every_asset_has_a_type_and_a_tag_of_its_own() -> None:
    found = assets()
    assert {"/", "/definitions", "/static/main.js", "/static/page.css", "/static/uplot.js"} <= set(found)
    assert found["/"].content_type == "text/html; charset=utf-8"
    assert found["/static/main.js"].content_type.startswith("text/javascript")
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', asset.etag) for asset in found.values())
    assert len({asset.etag for asset in found.values()}) == len(found)


def test_the_page_loads_nothing_but_what_is_served() -> None:
    named = set(re.findall(r'(?:src|href)="(static/[^"]+)"', text("/") + text("/definitions")))
    assert len(named) >= 4
    assert {f"/{name}" for name in named} <= set(assets())
    for path in assets():
        if path.endswith(".js"):
            for name in re.findall(r'from "\./([^"]+)"', text(path)):
                assert f"/static/{name}" in assets()


def test_the_policy_is_strict_and_the_page_keeps_it() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    own = [path for path in assets() if not path.startswith("/static/uplot")]
    for path in own:
        assert not re.search(
            r"\sstyle=|\son\w+=\"|innerHTML|outerHTML|insertAdjacent|\beval\(", text(path)
        ), path
    addresses = {address for path in own for address in re.findall(r"https?://[^\s\"'<)]+", text(path))}
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_every_figure_of_the_text_has_an_anchor() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "scores.md").read_text(), re.MULTILINE)
    anchors = re.findall(r' id="([^"]+)"', text("/definitions"))
    assert set(rows) <= set(anchors)
    assert len(anchors) == len(set(anchors))


def test_definitions_the_scripts_link_to_exist() -> None:
    scripts = "".join(text(path) for path in assets() if path.endswith(".js") and "uplot" not in path)
    linked = set(re.findall(r'\bdefinition\("([\w-]+)"', scripts)) | set(
        re.findall(r'\bfigure\("(\w+)"', scripts)
    )
    names = re.search(r"export const NAMES = \{(.*?)\}", scripts, re.DOTALL)
    assert names is not None
    linked |= set(re.findall(r"(\w+):", names[1]))
    anchors = set(re.findall(r' id="([^"]+)"', text("/definitions")))
    assert linked - anchors == set()


def test_markup_in_the_text_stays_text() -> None:
    assert "<script>" not in definitions("# A\n\n<script>alert(1)</script>\n")


def test_another_chart_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = page.CHART_FILES["uplot.js"]
    monkeypatch.setitem(page.CHART_FILES, "uplot.js", (place, "0" * 64))
    assets.cache_clear()
    with pytest.raises(UnexpectedAsset, match="differs"):
        assets()
    monkeypatch.undo()
    assets.cache_clear()


def test_the_text_is_a_link_to_the_documentation() -> None:
    link = ROOT / "worker" / "api" / "dashboard" / "scores.md"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "docs" / "scores.md"
