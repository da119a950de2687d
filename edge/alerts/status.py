"""Defines the status of a camera, and makes the payload that publishes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge.alerts.null import Estimate
from edge.alerts.null.hours import HOURS
from edge.alerts.scene.light import Word
from edge.alerts.threshold import CalibrationReport
from edge.alerts.visits import VisitRates
from edge.delivery.payloads import CalibrationRef, HoursRef, StatePayload, utc
from edge.video.sample import Arrival
from edge.video.worker import CameraHealth


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Status of one camera.

    Attributes:
        lag_s: Seconds from arrival to decision of the newest sample; None before the first sample.
        margins: Margin of each rule in the newest sample; rules that are off are missing.
        calibration: Origin of each rule's threshold.
        visits: How often each rule alerted; None where that is not known yet.
        light: ``day`` or ``night``; None before the first sample.
        view_change: Last change of the view and its UTC seconds; None where there was none, or
            where the lens is no longer covered.
    """

    lag_s: float | None
    margins: Mapping[str, float]
    calibration: Mapping[str, CalibrationReport]
    visits: Mapping[str, VisitRates | None]
    light: Word | None
    view_change: tuple[Literal["moved", "covered"], float] | None


def camera_state(
    device: str, camera: str, now: Arrival, health: CameraHealth, status: CameraStatus
) -> StatePayload:
    """Make the payload of a camera's state.

    Args:
        device: Id of the device.
        camera: Name of the camera.
        now: Time of the state.
        health: Health of its stream.
        status: Status of its samples and rules.
    """
    change = status.view_change
    return StatePayload(
        device=device,
        camera=camera,
        at=utc(now.wall),
        state=health.state,
        fps_in=round(health.fps_in, 2),
        fps_sampled=round(health.fps_sampled, 2),
        samples=health.samples,
        dropped=health.dropped,
        corrupt=health.corrupt,
        reconnects=health.reconnects,
        lag_s=status.lag_s,
        error=health.error,
        scores=dict(status.margins),
        calibration={
            rule: _calibration(report, status.visits.get(rule))
            for rule, report in status.calibration.items()
        },
        light=status.light,
        view=None if change is None else change[0],
        view_changed_at=None if change is None else utc(change[1]),
        gate=health.gate.state,
        gate_share=round(health.gate.share, 3),
    )


def _calibration(report: CalibrationReport, rates: VisitRates | None) -> CalibrationRef:
    estimate = report.estimate
    return CalibrationRef(
        state=report.state,
        threshold=report.threshold,
        false_alarms_per_day=report.asked,
        low=None if estimate is None else estimate.low,
        high=None if estimate is None else estimate.high,
        watched_days=None if estimate is None else estimate.watched_days,
        by_hour=None if estimate is None else _by_hour(estimate),
        visits_per_day=None if rates is None else round(rates.visits_per_day, 3),
        alerts_per_day=None if rates is None else round(rates.alerts_per_day, 3),
    )


def _by_hour(estimate: Estimate) -> HoursRef | None:
    """Return what is expected by hour, in three digits: a state comes every second."""
    if estimate.by_hour is None:
        return None
    shown = tuple(None if one is None else float(f"{one:.3g}") for one in estimate.by_hour)
    return HoursRef(working_days=shown[: HOURS // 2], weekends=shown[HOURS // 2 :])
