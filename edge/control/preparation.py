"""Prepares rules off the loop: compiles their sentences and makes their second look."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from edge.alerts.rule_set import RuleSet
from edge.alerts.second_look import SecondLook
from edge.config.models import CameraConfig
from edge.config.prompt import PromptConfig
from edge.errors import StruckOut
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler

logger = logging.getLogger(__name__)


class Preparation:
    """Makes rule sets. It may be called from any thread, and changes nothing that is in force.

    Args:
        open_compiler: Opens the text graph.
        background: Background sentences of the configuration; None for the bundle's.
        second_look: Makes the second look of the rules.
    """

    def __init__(
        self,
        open_compiler: Callable[[], AbstractContextManager[Compiler]],
        background: Sequence[str] | None,
        second_look: SecondLook,
    ) -> None:
        self._open_compiler = open_compiler
        self._background = background
        self._second_look = second_look

    def __call__(
        self,
        prompts: Mapping[str, PromptConfig],
        profile: str | None,
        cameras: Mapping[str, CameraConfig],
        before: RuleSet | None = None,
    ) -> RuleSet:
        """Prepare rules; those over which the process has ended twice are left out, and named.

        Args:
            prompts: Rules by name.
            profile: Profile of the box.
            cameras: Cameras that the rules watch.
            before: Rules whose bank is taken over if its sentences are the same: then no text
                graph is opened.

        Raises:
            ConfigError: A rule cannot be compiled, or asks for something that is missing.
            ModelError: A graph is not usable, or no rule is left.
            InferenceError: The engine failed.
        """
        left, aside = dict(prompts), dict[str, str]()
        while True:
            try:
                return self._prepared(left, profile, cameras, before, aside)
            except StruckOut as exc:
                if exc.rule not in left or len(left) == 1:
                    raise
                logger.error("%s", exc)  # noqa: TRY400  expected: no traceback
                del left[exc.rule]
                aside[exc.rule] = str(exc)

    def _prepared(
        self,
        prompts: Mapping[str, PromptConfig],
        profile: str | None,
        cameras: Mapping[str, CameraConfig],
        before: RuleSet | None,
        aside: Mapping[str, str],
    ) -> RuleSet:
        if before is not None and _compiled(prompts) == _compiled(before.prompts):
            bank = before.bank
        else:
            bank = compile_prompts(self._open_compiler, prompts, self._background)
        confirm = self._second_look.prepare(prompts, bank, cameras)
        return RuleSet(prompts, bank, profile, confirm, aside)


def compile_prompts(
    open_compiler: Callable[[], AbstractContextManager[Compiler]],
    prompts: Mapping[str, PromptConfig],
    background: Sequence[str] | None,
) -> PromptBank:
    """Compile rules, and log the notes for their author.

    Raises:
        ConfigError: A prompt cannot be used.
        ModelError: The text graph is not usable.
        InferenceError: The engine failed.
    """
    with open_compiler() as compiler:
        bank = compiler(prompts, background)
    for note in bank.notes:
        logger.warning("%s", note)
    return bank


def _compiled(prompts: Mapping[str, PromptConfig]) -> list[tuple[object, ...]]:
    """The settings of the rules that go into their bank."""
    return [
        (name, rule.text, rule.negatives, rule.sharpened, rule.pool)
        for name, rule in prompts.items()
    ]
