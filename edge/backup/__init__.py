"""Backs a box up into one file, and restores it on the box that takes its place.

The configuration and the state folder go in; a file comes out that says itself what it holds, with
hashes. ``archive`` reads and writes that file, ``content`` knows what belongs into it, ``make`` and
``restore`` are the two ways.
"""
