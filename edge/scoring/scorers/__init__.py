"""Scorers: samples and a bank go in, cosines come out; one module for each frame class.

``base`` has the seam, ``frames`` class F, ``window`` class C, ``detect`` class P
(docs/bundle-format.md).
"""
