"""The cache of build steps: what is kept, and what damage does."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.cache.key import digest, step_key
from export.cache.steps import StepCache, cached, load, store

KEY = step_key("quantize", "code1", {"model": "aa"}, {"bits": 8})
FILES = {"model.onnx": b"weights" * 100, "ranges.json": b"{}"}


@pytest.fixture
def steps(tmp_path: Path) -> StepCache:
    return StepCache(tmp_path / "steps")


class Step:
    """A step that counts how often it is computed."""

    def __init__(self, files: dict[str, bytes] = FILES) -> None:
        self.files = files
        self.runs = 0

    def __call__(self) -> dict[str, bytes]:
        self.runs += 1
        return self.files


def test_a_finished_step_is_not_computed_again(steps: StepCache) -> None:
    step = Step()
    assert cached(steps, KEY, step) == FILES
    assert cached(steps, KEY, step) == FILES
    assert cached(StepCache(steps.folder), KEY, step) == FILES, "nor by another process"
    assert step.runs == 1
    assert [path.name for path in steps.folder.iterdir()] == [KEY]


def test_a_step_that_fails_is_not_kept(steps: StepCache) -> None:
    def fails() -> dict[str, bytes]:
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        cached(steps, KEY, fails)
    assert load(steps, KEY) is None
    assert cached(steps, KEY, Step()) == FILES


def damage_bit(home: Path) -> None:
    data = bytearray((home / "model.onnx").read_bytes())
    data[3] ^= 1
    (home / "model.onnx").write_bytes(data)


def damage_escape(home: Path) -> None:
    (home.parent / "secret").write_bytes(b"x")
    (home / "index.json").write_text(f'{{"../secret": "{digest(b"x")}"}}')


@pytest.mark.parametrize(
    "damage",
    [
        damage_bit,
        damage_escape,
        lambda home: (home / "model.onnx").unlink(),
        lambda home: (home / "model.onnx").write_bytes(b""),
        lambda home: (home / "index.json").unlink(),
        lambda home: (home / "index.json").write_text("{"),
        lambda home: (home / "index.json").write_text("[]"),
        lambda home: (home / "index.json").write_bytes(b"\xff"),
    ],
)
def test_a_damaged_entry_is_made_again(
    steps: StepCache, damage: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    step = Step()
    cached(steps, KEY, step)
    damage(steps.folder / KEY)
    assert cached(steps, KEY, step) == FILES
    assert step.runs == 2
    assert "is damaged" in caplog.text
    assert cached(steps, KEY, step) == FILES
    assert step.runs == 2, "and whole again"


KILLED = """
import sys, time
from pathlib import Path
from export.cache.steps import StepCache, cached
whole = Path.write_bytes
def slow(path, data):
    whole(path, data[: len(data) // 2])
    print("half", flush=True)
    time.sleep(60)
Path.write_bytes = slow
cached(StepCache(Path(sys.argv[1])), sys.argv[2], lambda: {"model.onnx": b"weights" * 100})
"""


def test_a_kill_in_the_middle_leaves_nothing_that_counts(steps: StepCache) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, steps.folder, KEY],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    (left,) = steps.folder.iterdir()
    assert left.name.startswith(".partial-")
    assert load(steps, KEY) is None
    step = Step()
    assert cached(steps, KEY, step) == FILES
    assert step.runs == 1
    assert left.exists(), "it could be another process at work"
    os.utime(left, (0, time.time() - 25 * 3600))
    store(steps, step_key("next", "", {}), FILES)
    assert not left.exists()


def test_a_full_disk_costs_only_the_resuming(
    steps: StepCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert cached(steps, KEY, Step()) == FILES
    assert "is not kept" in caplog.text
    assert "No space left" in caplog.text
    assert list(steps.folder.iterdir()) == []
    assert load(steps, KEY) is None


def test_a_cache_that_is_no_folder_costs_only_the_resuming(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("mine")
    assert cached(StepCache(tmp_path / "file"), KEY, Step()) == FILES
    assert "the build goes on" in caplog.text
    assert (tmp_path / "file").read_text() == "mine"


def aged(steps: StepCache, name: str, hours: float) -> str:
    key = step_key(name, "", {})
    store(steps, key, {"file": b"x" * 1000})
    then = time.time() - hours * 3600
    os.utime(steps.folder / key, (then, then))
    return key


def test_beyond_the_limit_the_steps_used_longest_ago_go_first(tmp_path: Path) -> None:
    steps = StepCache(tmp_path, limit=3000)
    old, middle = aged(steps, "old", 3), aged(steps, "middle", 2)
    assert load(steps, old) is not None  # used just now
    (tmp_path / "notes.txt").write_text("not a step")
    new = aged(steps, "new", 0)
    assert load(steps, middle) is None
    assert load(steps, old) is not None
    assert load(steps, new) is not None
    assert (tmp_path / "notes.txt").exists()


def test_what_exceeds_the_limit_alone_pushes_nothing_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = StepCache(tmp_path, limit=3000)
    small = aged(steps, "small", 5)
    assert cached(steps, KEY, Step({"model.onnx": b"x" * 4000}))["model.onnx"] == b"x" * 4000
    assert "exceed the limit" in caplog.text
    assert load(steps, small) is not None
    assert load(steps, KEY) is None


def test_two_processes_that_make_the_same_step_do_not_disturb_each_other(steps: StepCache) -> None:
    def while_another_finishes() -> dict[str, bytes]:
        store(steps, KEY, FILES)
        return FILES

    assert cached(steps, KEY, while_another_finishes) == FILES
    assert load(steps, KEY) == FILES
    assert [path.name for path in steps.folder.iterdir()] == [KEY]
