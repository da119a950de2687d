"""Every input that the fuzzer keeps or once found is read as the product reads it, in its own words."""

import gc
import linecache
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest
from fuzz_draw import Draw
from fuzz_lines import Reached, lines_of
from fuzz_target import Target
from fuzz_targets import CORPUS, TARGETS, fuzz_one

pytestmark = [
    # paho leaves a connection that failed to the garbage collector, sockets included.
    pytest.mark.filterwarnings("ignore:.*unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

INPUTS = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


LONGEST_S = 1.0


@cache
def _made_once(target: str) -> None:
    fuzz_one(target, b"")


def seconds_of(target: str, data: bytes) -> float:
    """Let a target read some bytes; the time of the processor, whatever else the machine does."""
    _made_once(target)
    began = time.process_time()
    fuzz_one(target, data)
    return time.process_time() - began


@pytest.fixture(autouse=True, scope="module")
def _collected() -> Iterator[None]:
    """Collect paho's sockets here, where their warning is expected, and not in another test."""
    yield
    gc.collect()


@pytest.mark.parametrize("target", TARGETS)
def test_a_corpus_has_inputs(target: str) -> None:
    assert any(name == target for name, _ in INPUTS), f"no seeds for {target}"


@pytest.mark.parametrize(
    ("target", "path"), INPUTS, ids=lambda value: getattr(value, "name", value)
)
def test_an_input_ends_in_words_that_callers_expect(target: str, path: Path) -> None:
    assert seconds_of(target, path.read_bytes()) < LONGEST_S


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_do_too(target: str, seed: int) -> None:
    fuzz_one(target, Random(f"{target} {seed}").randbytes(64 * seed))


def test_an_error_that_nobody_expects_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(TARGETS, "broken", Target(read, (ValueError,), ()))
    with pytest.raises(ZeroDivisionError):
        fuzz_one("broken", b"")


def test_a_call_that_takes_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes) -> None:
        end = time.process_time() + 0.05 * len(data)
        while time.process_time() < end:
            pass

    monkeypatch.setitem(TARGETS, "slow", Target(read, (), ()))
    assert seconds_of("slow", b"1") > 0.04


def test_the_page_has_a_row_for_each_target() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fuzz.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:] == list(TARGETS), "run `make fuzz` and copy build/fuzz.md to docs/fuzz.md"


def test_lines_are_counted_where_a_call_comes_by() -> None:
    wanted = lines_of(["fuzz_draw:Draw.take,Draw.rest", "fuzz_draw:damaged"])
    with Reached(wanted) as tracer:
        Draw(b"abc").rest()
    reached = {linecache.getline(*line).strip() for line in tracer.lines}
    assert "return self.take(self.left)" in reached
    assert "file = bytearray(whole)" not in reached
    assert any(linecache.getline(*line).strip() == "file = bytearray(whole)" for line in wanted)
