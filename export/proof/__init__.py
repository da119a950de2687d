"""Proof of what a variant lost against its float original.

Inputs, a variant and the original's answers go in; measurements, a verdict and the accuracy card
come out. The card names a variant that fails its gate, and the bundle leaves it out.
"""
