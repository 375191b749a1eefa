"""The product on one bare Linux machine: the embedded stack, the demo, and the proofs that the demo prints."""
