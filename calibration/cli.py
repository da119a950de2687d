"""``edge-calibrate``: errors become a message and an exit code.

Exit codes: 0 done, 1 the answer is no (``prompt`` found nothing that helps), 2 a wrong setting,
argument or label, 3 model or engine, 4 a clip.

The commands are imported only inside, because their packages are an extra that a device lacks.
"""

from edge.system.command_line import app_of, run

# What the commands import at their top, beyond the device's own packages.
_EXTRA = {"jinja2", "scipy"}


def main() -> None:
    """Run ``edge-calibrate``; a user's mistake is a message and an exit code, no stack trace."""
    run("edge-calibrate", app_of("calibration.commands", _EXTRA, "evaluates", "calibrate"))


if __name__ == "__main__":
    main()
