import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from edge.config.prompt import PromptConfig
from edge.model.bundle.manifest import TextSpec
from edge.rules.bank import PromptBank, explain
from edge.rules.compiler import compile_bank
from edge.rules.text import TextEncoder
from edge.scoring.margins import margins


def prompt(*text: str, negatives: Sequence[str] = ()) -> PromptConfig:
    return PromptConfig(text=text, negatives=tuple(negatives))


@pytest.fixture
def compile_(encoder: TextEncoder, spec: TextSpec) -> Callable[..., PromptBank]:
    def run(
        prompts: dict[str, PromptConfig], background: Sequence[str] = ("empty yard", "empty street")
    ) -> PromptBank:
        return compile_bank(prompts, background, encoder, spec, model_hash="model")

    return run


def test_explain_lists_the_heaviest_axes_and_only_those_that_weigh_something() -> None:
    row = np.array([0.1, 0.0, 0.8, -0.5, 0.3], np.float32)
    axes = ["person", "car", "dog", "cat", "tree"]
    assert [axis for axis, _ in explain(row, axes)] == ["dog", "tree", "person"]
    ((axis, weight),) = explain(row, axes, top=1)
    assert axis == "dog"
    assert weight == pytest.approx(0.8)


def test_a_bank_cannot_be_changed(compile_: Callable[..., PromptBank]) -> None:
    bank = compile_({"p": prompt("dog")})
    with pytest.raises(ValueError, match="read-only"):
        bank.rows[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        bank.prompts[0].against[0] = 0
    with pytest.raises(FrozenInstanceError):
        bank.rows = np.zeros((1, 16), np.float32)  # type: ignore[misc]  # wrong on purpose


def test_while_banks_are_swapped_every_frame_is_scored_against_one_whole_bank(
    compile_: Callable[..., PromptBank],
) -> None:
    banks = (
        compile_({"dog": prompt("dog")}),
        compile_({"car": prompt("car", "red car"), "cat": prompt("cat", negatives=["dog"])}),
        compile_({"tree": prompt("tree")}, ["road"]),
    )
    frame = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    expected = {bank.names: margins(bank, frame @ bank.rows.T).margin.tolist() for bank in banks}
    holder = {"bank": banks[0]}
    stop = threading.Event()
    wrong, seen = [], set()

    def score() -> None:
        while not stop.is_set():
            bank = holder["bank"]
            seen.add(bank.names)
            if margins(bank, frame @ bank.rows.T).margin.tolist() != expected[bank.names]:
                wrong.append(bank.names)

    threads = [threading.Thread(target=score) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    turn = 0
    while (turn < 2000 or len(seen) < 3) and time.monotonic() < deadline:
        turn += 1
        holder["bank"] = banks[turn % 3]
        if turn % 100 == 0:
            time.sleep(0)  # let the scorers in
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(seen) == 3


def test_a_rule_has_a_prompt_for_each_of_its_clauses(compile_: Callable[..., PromptBank]) -> None:
    bank = compile_({"p": prompt("a dog climbs then a cat climbs"), "p2": prompt("dog")})
    assert [compiled.name for compiled in bank.prompts_of("p")] == ["p#1", "p#2"]
    assert [compiled.name for compiled in bank.prompts_of("p2")] == ["p2"]
    assert bank.prompts_of("q") == []
