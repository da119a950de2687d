"""The command line ``edge``: arguments go in, text or JSON and an exit code come out.

``commands`` has one module for each subcommand. Only here does anything print or exit.
"""
