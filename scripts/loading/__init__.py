"""The parts of the load test: what is sent and when, what is measured, what is proven, how it is told."""
