"""Serves clips from a shell: ``python -m edge.testing [NAME=]CLIP...``.

Prints one JSON line ``{"name": ..., "url": ...}`` for each clip, then serves until SIGTERM or
Ctrl-C. With ``--until-stdin-closes`` it also ends at the end of standard input, so a camera that a
test started through a pipe cannot outlive the test.
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from edge.errors import EdgeError
from edge.testing.camera import TestCamera
from edge.testing.protocol.auth import KINDS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    clips = dict(_name_and_path(clip) for clip in options.clips)
    if len(clips) < len(options.clips):
        parser.error("expected a different name for each clip; say NAME=CLIP")
    if (options.user is None) != (options.password is None):
        parser.error("expected --user and --password together, found only one of them")
    # SIGINT too: without job control, a shell starts background processes that ignore it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        camera = TestCamera(
            clips,
            user=options.user,
            password=options.password,
            auth=options.auth,
            port=options.port,
            loop=options.loop,
        )
        with camera:
            for name in clips:
                _say({"name": name, "url": camera.url(name)})
            if options.until_stdin_closes:
                while sys.stdin.read(1):
                    pass
            else:
                threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except (EdgeError, OSError) as exc:
        parser.exit(getattr(exc, "exit_code", 1), f"{exc}\n")
    return 0


def _say(fact: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m edge.testing", description="Serve clips over RTSP.")
    parser.add_argument("clips", nargs="+", metavar="[NAME=]CLIP", help="H.264 or H.265 video file")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--auth", choices=KINDS, default="digest")
    parser.add_argument(
        "--loop",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="play for ever (default), or disconnect after the last frame",
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="end when standard input ends: for a program that starts the camera through a pipe",
    )
    return parser


def _name_and_path(argument: str) -> tuple[str, str]:
    name, equals, path = argument.partition("=")
    return (name, path) if equals else (Path(argument).stem, argument)


if __name__ == "__main__":
    sys.exit(main())
