"""Files and memory of the daemon are its own; in a process of its own, whose limits it changes."""

import resource
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import resource, sys
from pathlib import Path
from edge.system.private import keep_to_ourselves
{call}
Path(sys.argv[1]).write_text("secret")
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


def run(folder: Path, call: str) -> tuple[int, str]:
    path = folder / "file"
    path.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=call), str(path)],
        check=True, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096)),
    )  # fmt: skip
    return path.stat().st_mode & 0o077, done.stdout.strip()


def test_files_are_ours_alone_and_there_is_no_core_dump(tmp_path: Path) -> None:
    assert run(tmp_path, "keep_to_ourselves()") == (0, "(0, 0)")


def test_without_the_call_others_could_read_both(tmp_path: Path) -> None:
    others, core = run(tmp_path, "import os; os.umask(0o022)")
    assert (others, core) == (0o044, "(4096, 4096)")
