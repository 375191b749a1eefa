"""`python -m worker`."""

from worker.cli import entry

entry()
