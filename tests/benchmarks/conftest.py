"""A small real bundle, a small real clip, and the command line."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle

from benchmarks.cli import main
from edge.model.bundle.read import Bundle
from edge.testing.synthetic import write_clip


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bench") / "bundle")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("bench") / "clip.mp4", width=160, height=120, seconds=2
    )


@dataclass
class Finished:
    code: str | int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def edge_bench(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Finished]:
    """Run a command line of ``edge-bench`` on the tiny bundle; pytest keeps its own logging."""
    monkeypatch.setenv("EDGE_BUNDLE", str(bundle.path))
    monkeypatch.setattr("edge.system.command_line.set_up_logging", lambda _level: None)

    def run(line: str) -> Finished:
        monkeypatch.setattr("sys.argv", ["edge-bench", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return Finished(int(ended.value.code or 0), shown.out, shown.err)

    return run


def keys(value: Any, place: str = "") -> set[str]:
    """Return the path of every key in a document; a list counts with its first item only."""
    if isinstance(value, dict):
        return {place} | {key for name in value for key in keys(value[name], f"{place}.{name}")}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return keys(value[0], f"{place}[]")
    return {place}


@pytest.fixture(scope="session")
def places() -> Callable[[Any], set[str]]:
    return keys
