"""Rules are made ready off the loop; what cannot be done changes nothing that is in force."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from edge.alerts.second_look import Confirm, NoSecondLook
from edge.config.models import CameraConfig
from edge.config.prompt import PromptConfig
from edge.control.preparation import Preparation
from edge.errors import ConfigError
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler
from edge.video.sample import Arrival, Sample

CAT, DOG = {"cat": PromptConfig(text=("a cat",))}, {"dog": PromptConfig(text=("a dog",))}


@pytest.fixture
def compiled() -> list[list[str]]:
    return []


@pytest.fixture
def prepare(compiled: list[list[str]]) -> Preparation:
    @contextlib.contextmanager
    def open_compiler() -> Iterator[Compiler]:
        def compile_prompts(
            prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
        ) -> PromptBank:
            compiled.append(list(prompts))
            return PromptBank((), (), np.zeros((0, 1), np.float32), (), "hash")

        yield compile_prompts

    class Picky(NoSecondLook):
        def prepare(
            self,
            prompts: Mapping[str, PromptConfig],
            bank: PromptBank,
            cameras: Mapping[str, CameraConfig],
        ) -> Confirm:
            if "dog" in prompts:
                raise ConfigError("no dogs")
            return super().prepare(prompts, bank, cameras)

    return Preparation(open_compiler, None, Picky())


def test_rules_that_a_second_look_cannot_do_change_nothing(prepare: Preparation) -> None:
    sample = Sample("yard", 0, Arrival(0, 0, None), np.zeros((3, 1, 1), np.int8))
    before = prepare(CAT, None, {})
    with pytest.raises(ConfigError, match="no dogs"):
        prepare(DOG, None, {}, before)
    assert before.prompts == CAT
    assert before.confirm("cat", sample).confirmed


def test_the_bank_of_the_same_sentences_is_taken_over(
    prepare: Preparation, compiled: list[list[str]]
) -> None:
    before = prepare(CAT, None, {})
    later = {"cat": CAT["cat"].model_copy(update={"false_alarms_per_day": 3.0})}
    after = prepare(later, "away", {}, before)
    assert (after.bank, after.profile) == (before.bank, "away")
    assert compiled == [["cat"]]
