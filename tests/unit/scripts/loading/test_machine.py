import os
import subprocess
import sys

from scripts.loading.machine import cpu_seconds


def test_a_tree_is_told_apart_by_its_parts() -> None:
    spin = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput()"
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE) as child:
        while cpu_seconds({"child": [child.pid]}).get("child", 0.0) < 0.25:
            assert child.poll() is None
        found = cpu_seconds(
            {"all": [os.getpid()], "nobody": [None]}, lambda c: "spinning" if spin in c else ""
        )
        assert set(found) == {"all", "all, spinning"}
        assert found["all, spinning"] >= 0.25
        child.communicate(b"\n")
