"""Time in rules: margins or cosines of single samples go in, those of a stretch of time come out.

``clauses`` takes a sentence apart, ``track`` turns the margins of its clauses into one, ``pools``
takes the cosines of the last samples together. All of it is pure.
"""
