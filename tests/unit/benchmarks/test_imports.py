"""Python's own account of imports is read as it is, and the way of a shard process ends well."""

from benchmarks import imports
from benchmarks.imports import Import

TEXT = """\
import time: self [us] | cumulative | imported package
import time:      1500 |       1500 |     psycopg.errors
import time:      2000 |       3500 |   psycopg
import time:       250 |        250 |   redis
something else on stderr
import time:       750 |       4500 | worker.wiring
"""


def test_lines_become_imports() -> None:
    assert imports.parsed(TEXT) == [
        Import("psycopg.errors", 1.5, 1.5),
        Import("psycopg", 2.0, 3.5),
        Import("redis", 0.25, 0.25),
        Import("worker.wiring", 0.75, 4.5),
    ]


def test_modules_count_for_their_distribution() -> None:
    assert imports.slowest(imports.parsed(TEXT), 2) == {"psycopg": 3.5, "worker": 0.8}


def test_the_way_of_a_shard_process_reaches_its_end() -> None:
    found = {one.name for one in imports.listed()}
    assert {"worker.kcl.shard", "worker.wiring", "worker.stream.pipeline", "psycopg", "redis"} <= found
    # of the API, the jobs and the local stack a shard needs nothing
    assert not {name for name in found if name.startswith(("worker.api", "worker.local", "boto3", "pandas"))}
