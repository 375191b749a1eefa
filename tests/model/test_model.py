"""The protocol holds in every small configuration, and every guard is needed."""

import pytest

from tests.model import sweeping
from tests.model.__main__ import main
from tests.model.ablations import Ablation, ablations
from tests.model.configurations import large, small
from tests.model.explore import explore
from tests.model.invariants import COMES_TO_REST
from tests.model.world import Configuration, Guards


@pytest.mark.parametrize("configuration", small(), ids=lambda configuration: configuration.name)
def test_protocol_holds(configuration: Configuration) -> None:
    result = explore(configuration)
    assert result.violation is None, result.trace
    assert result.resting


@pytest.mark.parametrize("ablation", ablations(), ids=lambda ablation: ablation.guard)
def test_guard_is_needed(ablation: Ablation) -> None:
    assert explore(ablation.configuration).violation is None

    without = explore(ablation.configuration.without(ablation.guard))

    assert without.violation is not None
    assert without.violation.invariant == ablation.invariant
    assert without.trace


def test_every_guard_has_its_ablation() -> None:
    assert {ablation.guard for ablation in ablations()} == set(Guards._fields)


def test_names_are_unique() -> None:
    names = [configuration.name for configuration in [*small(), *large()]]
    assert len(set(names)) == len(names)


def test_same_search_twice_finds_the_same() -> None:
    ablation = next(a for a in ablations() if a.guard == "chain")
    configuration = ablation.configuration.without(ablation.guard)
    assert explore(configuration)._replace(seconds=0) == explore(configuration)._replace(seconds=0)


def test_what_cannot_come_to_rest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "tick", lambda *_: iter(()))
    result = explore(next(c for c in small() if c.name == "crash, failover"))
    assert result.violation is not None
    assert result.violation.invariant == COMES_TO_REST


def test_search_gives_up_at_its_limit() -> None:
    assert not explore(small()[0], limit=100).complete


def test_counterexample_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ablations", "counters_inside"]) == 0
    told = capsys.readouterr().out
    assert "1 W0 is given 1 record after 0 and loads key 0 (nothing) and marker 0" in told
    assert "2 W0 claims key 0 (a claim of W0)" in told
    assert "=> accounting closes: 0 applied less 0 deleted, but 1 rows" in told


def test_unknown_name_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ablations", "no such guard"]) == 1
    assert "0 guards" in capsys.readouterr().out
