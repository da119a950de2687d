"""Measures what a box costs per frame: the command ``edge-bench`` and single studies."""
