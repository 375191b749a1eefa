"""Every type of resource, and the calls by which it is made.

A new type of the template must come in here, or into NOT_KNOWN with a reason.
"""

from collections.abc import Callable
from typing import Any

from tests.deploy.applying import edge, foundation, processes, stores
from tests.deploy.applying.applier import Applier
from tests.deploy.applying.resolving import Made

Maker = Callable[[Applier, str, dict[str, Any]], Made]

NOT_KNOWN = {
    "AWS::ElastiCache::ParameterGroup": "the emulator has no cache parameter groups; test_figures.py",
    "AWS::ElastiCache::UserGroup": "the emulator has no user groups; test_figures.py",
    "AWS::CloudWatch::CompositeAlarm": "the emulator has no composite alarms; test_availability.py",
}
"""Types that the emulator cannot make, and which tests of the template stand in."""


def not_made(_: Applier, name: str, properties: dict[str, Any]) -> Made:
    """Only the name, for those that refer to it."""
    return Made(str(properties.get("UserGroupId", name)).lower())


KINDS: dict[str, Maker] = {
    **foundation.KINDS,
    **stores.KINDS,
    **processes.KINDS,
    **edge.KINDS,
    **dict.fromkeys(NOT_KNOWN, not_made),
}
