"""Comparing models: what they cost and what they say.

Two bundles and pictures go in, a table of cost against agreement comes out (``edge-export compare``).
``full_size`` measures full-size architectures with random weights.
"""
