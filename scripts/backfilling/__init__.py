"""What `scripts.backfill` is made of: files, their rows, the ways of events, and what is kept of a run."""
