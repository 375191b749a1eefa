"""The product on one bare Linux machine: the embedded stack, the demo, and its proofs."""
