"""The rules of the product, pure: no clock, no randomness, no I/O; everything else is built around them."""
