"""One module per dialect of learning platforms, each turning its own events into the canonical ScoreEvent."""
