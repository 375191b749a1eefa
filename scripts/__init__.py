"""The operators' tools, `python -m scripts.NAME` each, over the worker's own code path."""
