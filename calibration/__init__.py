"""Calibration sets: which frames fix the INT8 ranges of a network."""
