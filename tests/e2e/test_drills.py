"""Six drills in small, one after the other on one stage: the load never stops, and one proof covers them all.

`make faults` runs each on a stage of its own, at full load, and measures.
"""

from pathlib import Path

import pytest

from tests.faults import drills
from tests.faults.proof import prove, wait_until_quiet
from tests.faults.stage import staged

pytestmark = pytest.mark.e2e

IN_SMALL = (
    drills.kill_child,
    drills.kill_daemon,
    drills.restart_postgres,
    drills.redis_empty,
    drills.flushall,
    drills.poison_flood,
)


def test_nothing_is_lost_or_double_through_six_failures(tmp_path: Path) -> None:
    with staged(tmp_path, lambda _line: None, per_second=400, settings={}) as stage:
        for act in IN_SMALL:
            act(stage)
            stage.await_recovery()
        stage.load.stop()
        wait_until_quiet(stage.edges, stage.any_task(), stage.load.sent + drills.POISON)
        proof = prove(
            stage.edges, stage.session.stack.endpoints.database_url, stage.load, dead_letters=drills.POISON
        )
        assert proof.good, proof
