"""Proof of what a variant lost against its float original.

Questions, a variant and the original's answers go in; measurements, a verdict and the accuracy card
come out. A variant that fails its gate is named on the card and left out of the bundle.
"""
