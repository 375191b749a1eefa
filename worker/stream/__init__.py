"""The journey of a batch, pure given its ports. Read `pipeline.py` first."""
