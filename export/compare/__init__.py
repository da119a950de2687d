"""Comparisons of models: their costs and their answers.

Two bundles and pictures go in, a table of cost against agreement comes out, which ``edge-export
compare`` prints. ``full_size`` measures full-size architectures with random weights.
"""
