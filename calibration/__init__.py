"""Calibrates rules and networks: evaluation, sharpened rules, and frames for INT8 ranges."""
