"""The parts of `scripts.redrive`: trying letters, or telling what would become of them."""
