"""Comparing models: what they cost and what they say.

Two bundles and pictures go in, a table of cost against agreement comes out: this is what
``edge-export compare`` prints. ``full_size`` measures full-size architectures with random weights.
"""
