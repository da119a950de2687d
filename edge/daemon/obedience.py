"""Carries out what other threads ask of the loop, between two samples."""

import logging
from collections.abc import Callable, Mapping, Sequence

from edge.alerts.rule_set import RuleSet
from edge.config.models import CameraConfig
from edge.control.announce.alerting import AlertingTopics
from edge.control.orders import Adopt, Order, RateAlert, TakeOver, TryAlert
from edge.daemon.crew import Crew, worker_of
from edge.daemon.defects import Defects
from edge.delivery.message import Message
from edge.resources import Resources
from edge.video.sample import Arrival

logger = logging.getLogger(__name__)


class Obedience:
    """Carries out the orders of the rollout and of the build.

    Args:
        resources: Opened resources.
        crew: Exchanges the cameras.
        alerting: Shows which rules alert; an alert on trial is shown too.
        defects: Those of a camera that goes are forgotten.
        put: Commits messages.
    """

    def __init__(
        self,
        resources: Resources,
        crew: Crew,
        alerting: AlertingTopics,
        defects: Defects,
        put: Callable[[Sequence[Message]], None],
    ) -> None:
        self._orders = resources.orders
        self._pipeline = resources.pipeline
        self._models = resources.models
        self._crew = crew
        self._alerting = alerting
        self._defects = defects
        self._put = put

    def obey(self) -> bool:
        """Carry out the orders that wait; one that fails leaves the rules as they were.

        Returns:
            Whether there were any.
        """
        obeyed = False
        for order, future in self._orders.take():
            obeyed = True
            before, watched = self._pipeline.rules, self._pipeline.camera_settings
            try:
                self._carry_out(order)
            except Exception as exc:
                logger.exception("an order of the rollout failed; the rules are those of before")
                changed = self._pipeline.camera_settings is not watched
                self._adopt(before, watched if changed else None)
                future.set_exception(exc)
            else:
                future.set_result(None)
        return obeyed

    def _carry_out(self, order: Order) -> None:
        match order:
            case Adopt(rules, cameras):
                self._adopt(rules, cameras)
            case RateAlert(alert, correct):
                self._pipeline.rate(alert, correct=correct)
            case TakeOver(graphs):
                self._models.take_over(graphs)
            case TryAlert(rule):
                now = Arrival.now()
                pairs = [pair for pair in self._pipeline.alerting() if pair[1] == rule]
                self._alerting.test(pairs, now.monotonic)
                self._put(self._pipeline.try_alert(rule, now))

    def _adopt(self, rules: RuleSet, cameras: Mapping[str, CameraConfig] | None) -> None:
        """Go on with other rules and cameras; the alerts that this ends are committed first."""
        watched = self._pipeline.camera_settings
        self._put(self._pipeline.adopt(rules, cameras))
        if cameras is not None:
            for name in self._crew.exchange(watched, cameras):
                self._defects.over(worker_of(name))
