"""What `/schema` says is what the API does: schemathesis over all of it, as several people."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.served import School

# which parameters belong together, what a cursor holds and which times are past, no schema can tell
_RULES = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 422]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 411, 413, 415, 422]
"""


@pytest.mark.parametrize("who", ["producer", "official"])
def test_the_schema_is_true(school: School, who: str) -> None:
    options = [
        f"--header=Authorization: Bearer {school.tokens[who]}",
        "--checks=all",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=25",
        "--seed=7",
        "--request-timeout=10",
        "--continue-on-failure",
        "--no-color",
    ]
    (school.session.directory / "schemathesis.toml").write_text(_RULES)
    hooks = {"SCHEMATHESIS_HOOKS": "schema_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{school.api.url}/schema", *options]
    done = subprocess.run(
        command,
        cwd=school.session.directory,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
