"""Alert rules from what a configuration file would say."""

from typing import Any

from edge.config.prompt import PromptConfig


def prompt(**settings: Any) -> PromptConfig:
    """Validate the settings of one rule, such as ``text="a cat", schedule="22:00-06:00"``."""
    return PromptConfig.model_validate(settings)
