"""Collects what support needs to know of a box, without its secrets.

``facts`` reads the box, ``secrets`` knows what must not leave it, ``bundle`` writes the file.
"""
