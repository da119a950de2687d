"""Scores: samples and a prompt bank go in, cosines and a margin for each rule come out.

``scorers`` has one module for each frame class of a bundle, ``open`` opens the scorer of a bundle,
``grounding`` and ``boxes`` turn a detector's answer into boxes.
"""
