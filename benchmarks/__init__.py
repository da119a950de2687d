"""``edge-bench``: what a box costs per frame, measured."""
