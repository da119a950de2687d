"""The command line ``edge``: reads arguments, prints text or JSON, and sets the exit code.

``commands`` has one module for each subcommand. No other package prints or exits.
"""
