"""Distillation: a teacher's bundle and pictures go in, the bundle of a small student comes out.

``data`` makes the training set, ``training`` trains the student in float and then for INT8, and
``studies`` measures on toy and full-size examples.
"""
