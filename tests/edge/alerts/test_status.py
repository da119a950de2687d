"""What a camera's state says of its rules."""

import json
from dataclasses import replace

import pytest
from present import present

from edge.alerts.null import Estimate
from edge.alerts.status import CameraStatus, camera_state
from edge.alerts.threshold import CalibrationReport
from edge.alerts.visits import VisitRates
from edge.video.activity.health import GateHealth
from edge.video.sample import Arrival
from edge.video.worker import CameraHealth

ESTIMATE = Estimate(
    level=0.1, hysteresis=0.05, per_day=1.0, low=0.5, high=2.0, watched_days=3.0, peaks=90.0,
    by_hour=(*(0.0123456 * hour for hour in range(24)), *(None,) * 24),
)  # fmt: skip
HEALTH = CameraHealth("streaming", 25.0, 2.0, 10, 0, 0, 0, None, None)


@pytest.mark.parametrize("known", [True, False])
def test_a_state_says_what_is_expected_by_hour_and_what_came(*, known: bool) -> None:
    estimate = ESTIMATE if known else replace(ESTIMATE, by_hour=None)
    rates = VisitRates(1.23456, 3.0) if known else None
    report = CalibrationReport("learned", 0.15, 1.0, estimate)
    status = CameraStatus(0.1, {}, {"cat": report}, {"cat": rates}, "day", None)
    payload = camera_state("box", "yard", Arrival(0.0, 0.0, None), HEALTH, status)
    said = json.loads(payload.to_json())["calibration"]["cat"]
    by_hour = said["by_hour"]
    counts = said["visits_per_day"], said["alerts_per_day"]
    assert counts == ((1.235, 3.0) if known else (None, None))
    if not known:
        assert by_hour is None
        return
    assert by_hour["working_days"][:3] == [0.0, 0.0123, 0.0247]
    assert by_hour["weekends"] == [None] * 24
    assert len(present(by_hour["working_days"])) == 24


def test_a_state_says_what_the_gate_does() -> None:
    status = CameraStatus(0.1, {}, {}, {}, "day", None)
    health = replace(HEALTH, gate=GateHealth("still", 0.12345))
    said = [
        json.loads(camera_state("box", "yard", Arrival(0.0, 0.0, None), each, status).to_json())
        for each in (HEALTH, health)
    ]
    assert [(one["gate"], one["gate_share"]) for one in said] == [("off", 1.0), ("still", 0.123)]
