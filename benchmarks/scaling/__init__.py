"""What a plan beyond one region's defaults is reckoned and simulated with, from what was measured."""
