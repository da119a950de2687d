"""Learns from feedback: feedback on a rule's alerts becomes other settings of the rule."""

import logging
from collections.abc import Mapping
from typing import Protocol

from edge.alerts.messages import StartedAlert
from edge.config.prompt import PromptConfig
from edge.control.commands import Feedback
from edge.control.desired.state import Desired, FeedbackSettings
from edge.control.learning.feedback import FeedbackFile
from edge.control.learning.teacher import TeachingResult
from edge.errors import ConfigError
from edge.rules.plan import plan
from edge.rules.shots import Shots

logger = logging.getLogger(__name__)


class RuleTeacher(Protocol):
    """Finds better settings of a rule by its alerts (``edge.control.learning.teacher``)."""

    def teach(self, name: str, prompt: PromptConfig, shots: Shots) -> TeachingResult | None:
        """Weigh the feedback on a rule's alerts; None where there is too little.

        Raises:
            ConfigError: The rule cannot learn.
        """
        ...


class Learning:
    """Keeps feedback and changes the desired state by it.

    Args:
        file: Feedback so far.
        teacher: Finds better settings; None: rules do not learn.
        prompts: Rules of the configuration.

    Attributes:
        prompts: Rules of the configuration.
    """

    def __init__(
        self,
        file: FeedbackFile,
        teacher: RuleTeacher | None,
        prompts: Mapping[str, PromptConfig],
    ) -> None:
        self._file = file
        self._teacher = teacher
        self.prompts = prompts

    def note(self, feedback: Feedback) -> StartedAlert:
        """Keep feedback; return its alert as it was before.

        Raises:
            ConfigError: The alert is not known, or no longer.
            SideFileError: The file of feedback cannot be used now; nothing is noted.
        """
        alert = self._file.add(feedback)
        if alert is None:
            raise ConfigError(f"alert {feedback.alert} is not known (any more): nothing is learned")
        return alert

    def after(self, desired: Desired, rule: str) -> Desired:
        """Change the desired state by the feedback on a rule's alerts, if that helps.

        A rule that somebody sharpened by examples of their choice stays as they wanted it.

        Raises:
            ConfigError: A rule cannot be as it would follow.
            SideFileError: The file of feedback cannot be read now.
            ModelError: The text graph is not usable.
            EngineUnavailable: The device is gone.
        """
        prompt = desired.without_feedback(rule, self.prompts)
        if self._teacher is None or prompt is None or prompt.sharpened is not None:
            return desired
        shots = self._file.shots(rule, plan(rule, prompt).sentences)
        try:
            result = None if shots is None else self._teacher.teach(rule, prompt, shots)
        except ConfigError as exc:
            logger.info("prompt %s learns by its threshold alone: %s", rule, exc)
            return desired
        if result is None:
            return desired
        helps = "" if result.record is not None else "; nothing helps"
        logger.info("prompt %s: %s%s", rule, result.lesson.describe(), helps)
        if result.record is None:
            return desired.teach(rule, None)
        settings = FeedbackSettings(
            record=result.record,
            lesson=result.lesson,
            model=self._file.model,
            text=prompt.text,
            negatives=prompt.negatives,
        )
        return desired.teach(rule, settings)
