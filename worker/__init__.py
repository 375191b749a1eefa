"""Real-time student analytics: graded attempts from Kinesis, once into PostgreSQL, scores into Redis."""

__version__ = "0.1.0"
