"""What one student's record looks like when it is given away."""
