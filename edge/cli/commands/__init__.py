"""The subcommands of ``edge``, one module each."""
