"""Runs the command line ``edge-export``: errors become a message and an exit code."""

from edge.system import command_line
from export.cli.commands import app
from export.cli.extra import EXTRA


def main() -> None:
    """Run ``edge-export``; a user's mistake gives a message and an exit code, not a traceback."""

    def commands() -> None:
        with command_line.needing(EXTRA, "builds models", "export"):
            app()

    command_line.run("edge-export", commands)


if __name__ == "__main__":  # as `accelerate launch -m export.cli.main` does
    main()
