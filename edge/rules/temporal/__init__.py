"""Time in rules: clauses of a sentence and their order, and samples taken together. Pure.

``clauses`` takes a sentence apart, ``track`` turns the margins of its clauses into one, ``pools``
takes the cosines of the last samples together.
"""
