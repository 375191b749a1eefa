"""The operators' tools: each `python -m scripts.NAME`, `main(argv) -> int`, with `--dry-run`."""
