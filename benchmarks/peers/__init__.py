"""What people would use instead of our worker, doing comparable work on the same servers in the same run.

A promise like "twenty times the sample" is worth nothing unless the sample stands beside it, reads the same
events, writes to the same PostgreSQL and the same Valkey, and is written as its own documentation shows.
Each peer is one file that runs alone and tells in its docstring what it gets, what it does, and what it
leaves out. `python -m benchmarks.peers` runs them all. Files that run in the peers' own environment import
nothing of ours.
"""
