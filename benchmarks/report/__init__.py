"""Reports of ``edge-bench``: one JSON document for machines, and tables for people.

Results and the facts of a run go in; text comes out. ``document`` makes the JSON, ``tables`` fills
the tables, ``sections`` draws them for a terminal or as Markdown, ``output`` writes the report.
"""
