"""Measurements: ratios and CPU per unit of work, printed with the machine they were taken on."""
