import pytest

from scripts.loading.limit import search


@pytest.mark.parametrize("real", [260, 1_000, 3_333, 7_000])
def test_the_limit_is_found_from_either_side(real: float) -> None:
    found = search(lambda rate: rate <= real, 2_000, within=0.05, most=50_000)
    assert found.rate is not None
    assert found.rate <= real < found.rate * 1.06
    assert len(found.tried) < 16


def test_a_system_that_holds_everything_is_tried_to_the_most() -> None:
    found = search(lambda _rate: True, 2_000, within=0.05, most=6_000)
    assert found.rate == 6_000
    assert found.tried[-1] == (6_000, True)


def test_a_system_that_holds_nothing_has_no_limit() -> None:
    found = search(lambda _rate: False, 200, within=0.05, most=6_000)
    assert found.rate is None
    assert all(not good for _, good in found.tried)
