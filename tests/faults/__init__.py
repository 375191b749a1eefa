"""Drills: every failure a fleet meets, caused on purpose at load, with real daemons and real servers.

`python -m tests.faults` (or `make faults`) runs them and prints one table. Each drill ends with the same
proof: everything sent is in the ledger once, and Redis is a rebuild of it.
"""
