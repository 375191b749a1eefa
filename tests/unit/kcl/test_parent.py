import pytest

from worker.domain.errors import Fatal
from worker.kcl.parent import Parent


def test_who_waits_goes_on_while_its_daemon_lives_and_ends_with_it() -> None:
    pids = iter([41, 41, 1])
    parent = Parent(lambda: next(pids))
    parent.must_live()
    with pytest.raises(Fatal, match="the daemon of this shard process is gone"):
        parent.must_live()
