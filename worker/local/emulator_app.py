"""The WSGI application of the AWS emulator: moto, which picks the service by the request's signature.

A module of its own because granian imports it inside its worker process, and nothing else may import moto.
"""

import ctypes
import os
import signal
import sys
from multiprocessing import parent_process
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from worker.local.recording import VARIABLE, recording
from worker.local.refusals import refusing

_PR_SET_PDEATHSIG = 1

# granian's worker outlives a killed granian and would keep the port, answering from a state nobody expects.
ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
if (granian := parent_process()) and not granian.is_alive():
    sys.exit("granian ended while its worker was starting")

app = refusing(DomainDispatcherApplication(create_backend_app), Path.cwd())

if asked := os.environ.get(VARIABLE):
    app = recording(app, Path(asked))
