"""The synthesized environments; without the construct library their tests have nothing to ask."""

from importlib.util import find_spec

import pytest

from tests.deploy.synthesis import Synthesis, synthesis

if find_spec("aws_cdk") is None:
    needing = (
        "agreement",
        "applied",
        "availability",
        "checks",
        "figures",
        "iam",
        "nist",
        "rights",
        "rotation",
        "security",
        "snapshot",
    )
    collect_ignore = [f"test_{name}.py" for name in needing]


@pytest.fixture(params=["dev", "prod"])
def platform(request: pytest.FixtureRequest) -> Synthesis:
    """Dev, then prod."""
    return synthesis(request.param)


@pytest.fixture(params=["dev", "prod", "other"])
def anywhere(request: pytest.FixtureRequest) -> Synthesis:
    """Every environment, the one with all switches turned included."""
    return synthesis(request.param)
