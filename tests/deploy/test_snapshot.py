"""What is deployed changes only where somebody has looked at the change."""

import difflib

from tests.deploy.snapshot import FILE, normalised
from tests.deploy.synthesis import synthesis


def test_the_template_is_the_one_that_was_reviewed() -> None:
    reviewed, found = FILE.read_text(), normalised(synthesis("dev").template)
    changes = difflib.unified_diff(
        reviewed.splitlines(), found.splitlines(), "reviewed", "found", lineterm=""
    )
    told = "\n".join(list(changes)[:60])
    assert found == reviewed, f"look at the change, then run `make snapshot`:\n{told}"
