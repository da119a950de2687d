"""Runs the command line ``edge-calibrate``: errors become a message and an exit code.

Exit codes: 0 done, 1 the answer is no (``prompt`` found nothing that helps), 2 a wrong setting,
argument or label, 3 model or engine, 4 a clip.
"""

from calibration.cli.evaluate import app
from edge.system import command_line


def main() -> None:
    """Run ``edge-calibrate``; a user's mistake is a message and an exit code, no stack trace."""
    command_line.run("edge-calibrate", app)


if __name__ == "__main__":
    main()
