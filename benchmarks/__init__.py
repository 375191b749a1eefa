"""What the product costs and how fast it is, measured side by side with what it is compared to.

`make bench` runs every suite; `python -m benchmarks.NAME --help` tells of one. Each writes what it found to
`benchmarks/results/NAME.json`, and `python -m benchmarks.report` makes the tables and plots of
`docs/performance.md` of those files alone.
"""
