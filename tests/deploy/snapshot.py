"""The whole template of dev as a file, so that a review sees every change; `make snapshot` writes it."""

import json
import re
from pathlib import Path
from typing import Any

from tests.deploy.synthesis import synthesis

FILE = Path(__file__).with_name("snapshot.json")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")
"""Of an asset: of the image's sources and of the functions' code, which change with every line."""


def normalised(template: dict[str, Any]) -> str:
    """The template without what changes for no reason of its own."""
    return _HASH.sub("<hash of an asset>", json.dumps(template, indent=1, sort_keys=True)) + "\n"


if __name__ == "__main__":
    FILE.write_text(normalised(synthesis("dev").template))
