"""The parts of `scripts.replay`: sending a range of the stream, or comparing it with the ledger."""
