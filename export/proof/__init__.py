"""Proof: a variant and its float original go in, an accuracy card with a verdict comes out."""
