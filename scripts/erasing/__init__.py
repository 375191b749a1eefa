"""What erasing one student takes, step by step."""
