"""The process ``edge``; ``python -m edge`` is the same."""

import os
import sys

from edge.system.ending import end_at_once_when_asked, leave


def main() -> None:
    """Run ``edge`` and end the process, whatever its threads are doing."""
    if "run" in sys.argv:
        end_at_once_when_asked()
        # The daemon's matrices are small. With two threads, OpenBLAS took 1.5 ms for one that one
        # thread has done in 0.03 (measured on a machine whose other core was busy).
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edge.cli.main import main as run  # noqa: PLC0415  takes a second, and may be interrupted

    try:
        run()
    except SystemExit as exc:
        if isinstance(exc.code, str):
            raise
        leave(exc.code or 0)


if __name__ == "__main__":
    main()
