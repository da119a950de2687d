"""Restores the rules at the start: as they were desired, or the file's where that fails."""

import logging
from dataclasses import dataclass

from edge.alerts.rule_set import RuleSet
from edge.config.models import Config
from edge.control.desired.file import DesiredFile
from edge.control.desired.state import Desired
from edge.control.preparation import Preparation
from edge.errors import EdgeError
from edge.system.ending import Ended

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """Rules at the start.

    Attributes:
        desired: Desired state that the rules follow from.
        rules: Rules to begin with.
        error: Reason why rules set over MQTT cannot be used; None where they can.
        model: Hash of the bundle.
    """

    desired: Desired
    rules: RuleSet
    error: str | None
    model: str


def restored(config: Config, file: DesiredFile, model: str, prepare: Preparation) -> Restored:
    """Prepare the rules to start with.

    Args:
        config: Configuration of the box.
        file: Desired state of the last run.
        model: Hash of the bundle; settings that were learned with another one are dropped.
        prepare: Makes rule sets.

    Raises:
        ConfigError: The configuration's rules cannot be used.
        ModelError: The text graph is not usable for them.
    """
    accepted, pending = load_of_model(file, model)
    own = Desired(profile=accepted.profile)
    unread = file.unread()
    error = None if unread is None else str(unread)
    for desired in (pending, accepted):
        if desired is None:
            continue
        try:
            rules = _rules(config, desired, prepare)
        except Ended:
            raise
        except Exception as exc:
            if desired == own:
                raise
            expected = isinstance(exc, EdgeError)
            error = str(exc) if expected else f"{type(exc).__name__}: {exc}"
            trace = None if expected else exc
            logger.error("rules set over MQTT cannot be used: %s", error, exc_info=trace)  # noqa: TRY400  only a defect has its traceback
            file.keep_old()
        else:
            if pending is not None:
                file.keep(desired)
            return Restored(desired, rules, error, model)
    return Restored(own, _rules(config, own, prepare), error, model)


def load_of_model(file: DesiredFile, model: str) -> tuple[Desired, Desired | None]:
    """Read the accepted and the pending state, without settings learned with another model."""
    accepted, pending = file.load()
    found = accepted.of_model(model), pending and pending.of_model(model)
    if found != (accepted, pending):
        file.keep_old()
    return found


def _rules(config: Config, desired: Desired, prepare: Preparation) -> RuleSet:
    profile = desired.profile or config.profile
    return prepare(desired.effective(config.prompts), profile, config.cameras)
