"""SIGTERM at the worst moments: while sentences are compiled, at the start and while it runs."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import pytest
from patience import Eventually
from running_box import Box, Daemon, Daemons
from slow_graph import slowed
from tiny_bundle import tiny_facts, tiny_files

from export.bundle.pack import write_bundle

# More sentences than are compiled within the patience of any test.
MANY = [" ".join(words) for words in islice(product(("red", "green", "blue"), repeat=5), 200)]
BOTH = pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])


def slow_at(path: Path, rows: str) -> Path:
    """Write the tiny bundle with graphs of the role ``rows`` that take 0.1 s for a row."""
    files = {
        name: replace(file, data=slowed(file.data, 10)) if name.startswith(rows) else file
        for name, file in tiny_files().items()
    }
    write_bundle(path, tiny_facts(), files)
    return path


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_at(tmp_path_factory.mktemp("bundles") / "slow", "text.")


Start = Callable[..., Daemon]


@pytest.fixture
def start(slow_bundle: Path, box: Box) -> Start:
    def run(kind: str, *texts: str) -> Daemon:
        return box.start(
            bundle=str(slow_bundle),
            engine={"kind": kind},
            index={"enabled": True},
            prompts={"rule": {"text": list(texts)}},
        )

    return run


def ends_well(daemon: Daemon) -> None:
    began = time.monotonic()
    assert daemon.terminate() == 0, daemon.log()
    assert time.monotonic() - began < 5
    assert "has not returned" not in daemon.log()
    assert "Traceback" not in daemon.log()


@BOTH
def test_while_a_command_and_a_search_are_compiled(start: Start, kind: str, box: Box) -> None:
    daemon = start(kind, "red")
    box.eventually(lambda: "connected to broker" in daemon.log(), "a connection", 60)
    box.eventually(lambda: "streaming" in daemon.log(), "a picture", 60)
    rules = {"schema": "edge-prompts/1", "prompts": {"rule": {"text": MANY}}}
    box.say("search", {"schema": "edge-search/1", "text": "blue"})
    box.say("prompts/set", rules)
    box.eventually((box.state_dir / "desired.json").exists, "the command to be taken")
    ends_well(daemon)
    # What was pending is tried again, and so is not lost.
    assert b"green" in (box.state_dir / "desired.json").read_bytes()


@BOTH
def test_while_the_first_sentences_are_compiled(
    start: Start, kind: str, eventually: Eventually
) -> None:
    daemon = start(kind, *MANY)
    eventually(lambda: "edge.scoring.open: model " in daemon.log(), "an open model", 60)
    ends_well(daemon)
    assert "asked to end before the start was done" in daemon.log()
    assert "watching" not in daemon.log()


def test_while_its_variants_are_measured(
    tmp_path: Path, run_daemon: Daemons, eventually: Eventually
) -> None:
    daemon = run_daemon(
        bundle=str(slow_at(tmp_path / "bundle", "image.")),
        mqtt={"host": "127.0.0.1"},
        prompts={"rule": {"text": "red"}},
        cameras={"yard": {"url": "rtsp://127.0.0.1:1/yard"}},
    )
    eventually(lambda: "measuring, once" in daemon.log(), "the first start to measure", 60)
    ends_well(daemon)
    assert "asked to end before the start was done" in daemon.log()


def test_sentences_that_were_compiled_once_are_not_compiled_at_the_next_start(
    start: Start, box: Box, eventually: Eventually
) -> None:
    texts = MANY[:10]
    first = start("openvino", *texts)
    eventually(lambda: "watching yard" in first.log(), "the first start", 60)
    assert first.terminate() == 0
    compiled = (box.state_dir / "sentences.db").stat().st_mtime_ns
    second = start("openvino", *texts)
    eventually(lambda: "watching yard" in second.log(), "the second start", 60)
    assert second.terminate() == 0
    assert (box.state_dir / "sentences.db").stat().st_mtime_ns == compiled
