"""Asks the second look where an alert is about to start."""

import logging
from collections.abc import Iterable
from dataclasses import replace

from edge.alerts.rule_set import RuleSet
from edge.alerts.watch import Happening, Watch
from edge.video.sample import Sample

logger = logging.getLogger(__name__)


def confirmed(
    happenings: Iterable[Happening], sample: Sample, rules: RuleSet, watch: Watch
) -> list[Happening]:
    """Return what happened, without the starts that the second look denies.

    A start that is confirmed carries what was found; ``watch`` learns of one that is denied.
    """
    kept: list[Happening] = []
    for happening in happenings:
        if happening.transition.type != "start":
            kept.append(happening)
            continue
        finding = rules.confirm(happening.prompt, sample)
        if finding.confirmed:
            kept.append(replace(happening, finding=finding))
            continue
        logger.debug(
            "%s/%s vetoed: %s", sample.camera, happening.prompt, finding.reason,
            extra={"camera": sample.camera, "rule": happening.prompt},
        )  # fmt: skip
        watch.veto(happening.prompt)
    return kept
