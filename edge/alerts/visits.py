"""Counts the alerts of one rule on one camera as a person would: several within minutes are one.

Alerts belong to one *visit* where each begins within ten minutes of the end of the one before. Time
is watched time, which stands still while nothing is watched. Pure.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

APART_S: Final = 600.0
"""An alert that begins within this watched time of the one before, in seconds, is of its visit."""

_DAY_S: Final = 86_400.0
# The counts are those of the last days: older ones fade with this time constant.
_MEMORY_S: Final = 7 * _DAY_S

_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Visit:
    """The place of an alert in its visit.

    Attributes:
        id: Id of the first alert of the visit.
        number: Number of the alert in it, from 1.
    """

    id: str
    number: int


@dataclass(frozen=True, slots=True)
class VisitRates:
    """How often a rule alerted in the last days, for each day of watching.

    Attributes:
        visits_per_day: What a person would count.
        alerts_per_day: All alerts.
    """

    visits_per_day: float
    alerts_per_day: float


class VisitRecord(BaseModel):
    """What is known of the visits of a rule on a camera.

    Attributes:
        watched_s: Watched seconds at the last change.
        seconds: Watched seconds behind the counts; older ones have faded.
        visits: Visits, of which older ones have faded.
        alerts: Alerts, likewise.
        ended_s: Watched seconds at the end of the last alert; None while it runs.
        id: Id of the first alert of the last visit.
        number: Number of its alerts.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    watched_s: _Number = 0.0
    seconds: _Number = 0.0
    visits: _Number = 0.0
    alerts: _Number = 0.0
    ended_s: _Number | None = None
    id: str = Field(default="", max_length=26)
    number: int = Field(default=0, ge=0)


class Visits:
    """Alerts and visits of one rule on one camera.

    Attributes:
        watched_s: Watched seconds so far.
        record: What was counted, as of the last change.
    """

    def __init__(self) -> None:
        self.watched_s = 0.0
        self.record = VisitRecord()
        self._before = self.record  # the alert that began last

    @property
    def current(self) -> Visit | None:
        """Place of the alert that began last; None where there was none."""
        return Visit(self.record.id, self.record.number) if self.record.number else None

    def begin(self, alert: str) -> None:
        """Count an alert that begins.

        Args:
            alert: Its id.
        """
        self._before = self._faded()
        last = self._before
        same = last.ended_s is not None and self.watched_s - last.ended_s < APART_S
        self.record = last.model_copy(
            update={
                "alerts": last.alerts + 1,
                "visits": last.visits + (not same),
                "ended_s": None,
                "id": last.id if same else alert,
                "number": last.number + 1 if same else 1,
            }
        )

    def end(self) -> None:
        """Note that the alert has ended."""
        self.record = self.record.model_copy(update={"ended_s": self.watched_s})

    def take_back(self) -> None:
        """Forget the alert that has just begun: it was denied."""
        self.record = self._before

    def go_on(self, earlier: "Visits") -> None:
        """Add counts of before, which could not be read at the start.

        Args:
            earlier: Counts as ``from_bytes`` returned them.
        """
        then, now = earlier.record, self._faded()
        left = math.exp(-self.watched_s / _MEMORY_S)
        self.watched_s += then.watched_s
        self.record = self._before = now.model_copy(
            update={
                "watched_s": self.watched_s,
                "seconds": now.seconds + left * then.seconds,
                "visits": now.visits + left * then.visits,
                "alerts": now.alerts + left * then.alerts,
                "ended_s": None if now.ended_s is None else now.ended_s + then.watched_s,
            }
        )

    def rates(self) -> VisitRates | None:
        """Return how often the rule alerted in the last days; None before a day was watched."""
        if self.watched_s < _DAY_S:
            return None
        now = self._faded()
        days = now.seconds / _DAY_S
        return VisitRates(now.visits / days, now.alerts / days)

    def to_bytes(self) -> bytes:
        """Return what must survive a restart. An alert that runs counts as ended."""
        now = self._faded()
        running = now.number and now.ended_s is None
        ended_s = self.watched_s if running else now.ended_s
        return now.model_copy(update={"ended_s": ended_s}).model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Visits":
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: The bytes are damaged.
        """
        visits = cls()
        try:
            visits.record = visits._before = VisitRecord.model_validate_json(data)
        except ValidationError as exc:
            raise ValueError(f"expected counts of visits, found {exc}") from exc
        visits.watched_s = visits.record.watched_s
        return visits

    def _faded(self) -> VisitRecord:
        """Return the record as of now."""
        last = self.record
        passed_s = self.watched_s - last.watched_s
        left = math.exp(-passed_s / _MEMORY_S)
        return last.model_copy(
            update={
                "watched_s": self.watched_s,
                "seconds": last.seconds * left + _MEMORY_S * (1 - left),
                "visits": last.visits * left,
                "alerts": last.alerts * left,
            }
        )
