"""Finished steps of a build on disk, so that an interrupted build continues where it stopped.

A step's key goes in, with the function that computes the step; its files come out. A key covers the
step's inputs, its options and the code that defines its result.
"""
