"""Every input that the fuzzer keeps or once found is read as the product reads it, in its own words."""

import gc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from fuzz_target import Target
from fuzz_targets import CORPUS, TARGETS, fuzz_one

pytestmark = [
    # paho leaves a connection that failed to the garbage collector, sockets included.
    pytest.mark.filterwarnings("ignore:.*unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

INPUTS = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


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
    fuzz_one(target, path.read_bytes())


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
