"""Holds the rules that are in force together, ready to be used between two samples.

Everything that can fail (sentences, graphs, second looks) has happened before a ``RuleSet`` exists.
To change rules, replace the reference to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.alerts.second_look import Confirm, confirm_all
from edge.config.models import CameraConfig
from edge.config.prompt import PromptConfig
from edge.rules.bank import PromptBank


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """Rules by name, with all that was prepared for them. Immutable.

    Attributes:
        prompts: Configuration of each rule.
        bank: Prompt bank compiled from ``prompts``.
        profile: Profile of the box; None where it has none.
        confirm: Second look of these rules.
        set_aside: Reasons by name, for each rule that is left out because the process has ended
            over it.
    """

    prompts: Mapping[str, PromptConfig]
    bank: PromptBank
    profile: str | None = None
    confirm: Confirm = confirm_all
    set_aside: Mapping[str, str] = field(default_factory=dict)

    def watching(self, camera: CameraConfig) -> list[str]:
        """Names of the enabled rules that watch ``camera``."""
        return [name for name in self.assigned(camera) if self.prompts[name].enabled]

    def assigned(self, camera: CameraConfig) -> list[str]:
        """Names of the rules that watch ``camera`` while they are enabled."""
        return [name for name in self.prompts if camera.watched_by(name)]
