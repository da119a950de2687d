"""Scores: samples and a prompt bank go in, cosines and a margin for each prompt come out.

``scorers`` has one module for each frame class of a bundle, ``frame_class`` puts scorer, compiler
and crops of a class together, ``open`` opens all of it for a bundle, ``margins`` makes margins of
cosines. ``grounding`` and ``boxes`` turn a detector's answer into boxes.
"""
