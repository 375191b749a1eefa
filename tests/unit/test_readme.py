"""The README and the table of settings are checked against the code, so that they cannot rot."""

import re
from pathlib import Path

import pytest

from worker.cli import main
from worker.settings import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_settings_table_is_the_code() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    table = page.split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip()
    assert table == reference(), "copy the output of worker.settings.reference() between the markers"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"python -m worker (\w+)", README))))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"python -m worker {verb}" in capsys.readouterr().out


def test_it_has_the_length_of_one_sitting() -> None:
    assert 150 <= len(README.splitlines()) <= 250
