"""The configuration: a YAML file goes in, a frozen record or a list of all problems comes out.

``nodes`` parses the file, ``document`` makes plain values with lines, ``models`` and ``prompt``
define the records, ``load`` checks the values against them. ``schema`` gives the JSON Schema.
"""
