"""What dropping what has expired takes, step by step."""
