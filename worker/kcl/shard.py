"""One shard's process, as the KCL daemon starts it: requests on stdin, answers on stdout.

stdout belongs to the protocol, so it is taken away from everything else before anything can print. SIGTERM
and Ctrl-C reach the whole process group; the child must finish its batch, so it ignores them and leaves when
its stdin closes. SIGUSR1 is the supervisor's word that the task stops: the child checkpoints at the next call
and takes no more records.
"""

import os
import signal
import sys

from amazon_kclpy import kcl

from worker.kcl.heartbeat import LEAVE
from worker.kcl.inbox import IDLE_SECONDS, Inbox
from worker.kcl.warming import Processor


def run(processor: Processor, idle_seconds: float = IDLE_SECONDS) -> int:
    """Serve the daemon until it closes stdin; `idle_seconds` between two words while it asks nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(LEAVE, lambda _number, _frame: processor.leave())
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        requests = Inbox(sys.stdin.fileno(), processor.idle, idle_seconds)
        kcl.KCLProcess(processor, requests, answers, sys.stderr).run()
    return 0
