"""Tries once everything that the daemon needs, and says what to do about what fails.

A configuration, or a bundle alone, goes in; a ``CheckResult`` for each thing comes out as soon as
it is known. ``everything`` checks a configuration; the other modules check one kind of thing each.
"""
