"""Rules are made ready off the loop; what cannot be done changes nothing that is in force."""

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from edge.alerts.second_look import NoSecondLook
from edge.config.prompt import PromptConfig
from edge.control.preparation import Preparation
from edge.errors import ConfigError

CAT, DOG = {"cat": PromptConfig(text=("a cat",))}, {"dog": PromptConfig(text=("a dog",))}


@pytest.fixture
def compiled() -> list[Any]:
    return []


@pytest.fixture
def prepare(compiled: list[Any]) -> Preparation:
    @contextlib.contextmanager
    def open_compiler() -> Iterator[Callable[..., Any]]:
        def compile_prompts(prompts: dict[str, PromptConfig], _background: None) -> Any:
            compiled.append(list(prompts))
            return SimpleNamespace(notes=())

        yield compile_prompts

    class Picky(NoSecondLook):
        def prepare(self, prompts: dict[str, PromptConfig], bank: Any) -> Callable[..., Any] | None:
            if "dog" in prompts:
                raise ConfigError("no dogs")
            return super().prepare(prompts, bank)

    return Preparation(open_compiler, None, Picky())


def test_rules_that_a_second_look_cannot_do_change_nothing(prepare: Preparation) -> None:
    before = prepare(CAT, None)
    with pytest.raises(ConfigError, match="no dogs"):
        prepare(DOG, None, before)
    assert before.prompts == CAT
    assert before.confirm("cat", None).confirmed


def test_the_bank_of_the_same_sentences_is_taken_over(
    prepare: Preparation, compiled: list[Any]
) -> None:
    before = prepare(CAT, None)
    later = {"cat": CAT["cat"].model_copy(update={"false_alarms_per_day": 3.0})}
    after = prepare(later, "away", before)
    assert (after.bank, after.profile) == (before.bank, "away")
    assert compiled == [["cat"]]
