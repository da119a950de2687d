"""Decides on which days and at which hours a rule is on. Pure: the caller gives the time.

::

    schedule: mon-fri 22:00-06:00
    schedule: {days: [mon, wed-fri], hours: [08:00-12:00, 13:00-17:00], except: [2026-12-24]}

A rule is on exactly while the wall clock shows a time inside a span. So the night 22:00-06:00 has
seven hours when summer time begins and nine when it ends; 02:15-02:45 is skipped when summer time
begins and occurs twice when it ends. (RFC 5545, 3.3.5, uses only the first of two equal times: the
rule would be off while the clock shows a time inside the span.)

A span over midnight belongs to the day on which it begins: ``fri 22:00-06:00`` ends on Saturday.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from edge.config.fields import one_or_more
from edge.system.time_zone import named_zone

# In the order of datetime.weekday.
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = "|".join(_WEEKDAYS)
_DAYS: Final = rf"^({_DAY})(?:-({_DAY}))?$"
_TIME: Final = "([01][0-9]|2[0-3]):([0-5][0-9])"
_HOURS: Final = rf"^{_TIME}-(?:{_TIME}|24:00)$"
_DATE: Final = r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}$"

_ONE_DAY: Final = timedelta(days=1)
_DAY_MINUTES: Final = 24 * 60
# A schedule that is ever on is on within one week, or within two weeks where summer time skips the
# span of the first week. One more day covers a span that began on the day before.
_AHEAD_DAYS: Final = 15


def _weekdays(text: str) -> frozenset[int]:
    match = re.fullmatch(_DAYS, text)
    if not match:
        raise ValueError("expected a day (mon, tue, wed, thu, fri, sat, sun) or days (mon-fri)")
    first, last = _WEEKDAYS.index(match[1]), _WEEKDAYS.index(match[2] or match[1])
    return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))


def _span(text: str) -> tuple[int, int]:
    """Begin and end in minutes from midnight; the end of a span over midnight exceeds 24 h."""
    match = re.fullmatch(_HOURS, text)
    if not match:
        raise ValueError("expected hours such as 08:00-17:30, 22:00-06:00 or 00:00-24:00")
    begin = 60 * int(match[1]) + int(match[2])
    end = 60 * int(match[3] or 24) + int(match[4] or 0)
    if begin == end:
        raise ValueError("expected two different times (all day is 00:00-24:00)")
    return begin, end if begin < end else end + _DAY_MINUTES


def _date(text: str) -> date:
    try:
        if re.fullmatch(_DATE, text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("expected a date such as 2026-12-24")


def _written(parse: Any) -> AfterValidator:
    """Make a validator that refuses text which ``parse`` cannot read, and keeps other text."""
    return AfterValidator(lambda text: (parse(text), text)[1])


_Days = Annotated[str, _written(_weekdays), WithJsonSchema({"type": "string", "pattern": _DAYS})]
_Hours = Annotated[str, _written(_span), WithJsonSchema({"type": "string", "pattern": _HOURS})]
_Date = Annotated[str, _written(_date), WithJsonSchema({"type": "string", "pattern": _DATE})]
Timezone = Annotated[str, _written(named_zone)]
"""A name of the IANA time zone database, such as ``Europe/Berlin``."""


class Schedule(BaseModel):
    """Days and hours; also written as one text, ``mon-fri 22:00-06:00``.

    Attributes:
        days: Days on which a span begins: ``mon``, ``mon-fri``; default every day.
        hours: Spans of wall clock time, end excluded; a span over midnight ends on the next day.
            Default all day.
        except_: Dates on which no span begins.
        timezone: Time zone of the wall clock; default the configuration's ``timezone``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    days: Annotated[
        tuple[_Days, ...],
        BeforeValidator(one_or_more, json_schema_input_type=_Days | tuple[_Days, ...]),
    ] = Field(default=("mon-sun",), min_length=1)
    hours: Annotated[
        tuple[_Hours, ...],
        BeforeValidator(one_or_more, json_schema_input_type=_Hours | tuple[_Hours, ...]),
    ] = Field(default=("00:00-24:00",), min_length=1)
    except_: Annotated[
        tuple[_Date, ...],
        BeforeValidator(one_or_more, json_schema_input_type=_Date | tuple[_Date, ...]),
    ] = Field(default=(), alias="except")
    timezone: Timezone | None = None

    _weekdays: frozenset[int] = PrivateAttr()
    _spans: tuple[tuple[int, int], ...] = PrivateAttr()
    _skipped: frozenset[date] = PrivateAttr()
    _zone: ZoneInfo | None = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        if not isinstance(value, str):
            raise ValueError("expected days and hours such as mon-fri 22:00-06:00")  # noqa: TRY004  pydantic's way
        words = value.replace(",", " ").split()
        if not words:
            raise ValueError("expected days and hours such as mon-fri 22:00-06:00")
        hours = [word for word in words if word[0].isdigit()]
        days = [word for word in words if not word[0].isdigit()]
        # Checked here, so that the error quotes the text as a whole.
        for parse, part in ((_weekdays, days), (_span, hours)):
            for word in part:
                parse(word)
        return ({"days": days} if days else {}) | ({"hours": hours} if hours else {})

    def model_post_init(self, _context: Any) -> None:
        """Parse the texts once."""
        self._weekdays = frozenset().union(*map(_weekdays, self.days))
        self._spans = tuple(map(_span, self.hours))
        self._skipped = frozenset(map(_date, self.except_))
        self._zone = None if self.timezone is None else named_zone(self.timezone)

    def active(self, at: datetime) -> bool:
        """Whether the schedule is on at ``at``, a time with a zone."""
        return self._inside(at.astimezone(self._zone or at.tzinfo))

    def next_change(self, at: datetime) -> datetime | None:
        """Return the first moment after ``at`` at which ``active`` changes; None: it never changes.

        The moment is in the time zone of the schedule, or in that of ``at``.
        """
        zone = self._zone or at.tzinfo
        now, start = self.active(at), at.astimezone(UTC)
        for day in self._days_to_come(at.astimezone(zone).date()):
            for moment in self._moments(day, zone):
                here = moment.astimezone(zone)
                if moment > start and self._inside(here) != now:
                    return here
        return None

    def _inside(self, here: datetime) -> bool:
        today = here.date()
        minute = 60 * here.hour + here.minute
        return self._begun(today, minute) or self._begun(today - _ONE_DAY, minute + _DAY_MINUTES)

    def _begun(self, day: date, minute: int) -> bool:
        """Whether a span that begins on ``day`` contains ``minute``, counted from its midnight."""
        return self._begins(day) and any(begin <= minute < end for begin, end in self._spans)

    def _begins(self, day: date) -> bool:
        return day.weekday() in self._weekdays and day not in self._skipped

    def _days_to_come(self, today: date) -> list[date]:
        """Return the days on which the next change can be: after today and after excluded dates."""
        starts = [today, *(day for day in self._skipped if day >= today)]
        steps = range(_AHEAD_DAYS + 1)
        return sorted({start + step * _ONE_DAY for start in starts for step in steps})

    def _moments(self, day: date, zone: tzinfo | None) -> Iterator[datetime]:
        """Yield the moments of ``day``, in UTC and in order, at which ``active`` can change."""
        begin, end = (
            datetime.combine(date_, time(), zone).astimezone(UTC) for date_ in (day, day + _ONE_DAY)
        )
        minutes: Iterable[int] = sorted(
            {edge % _DAY_MINUTES for span in self._spans for edge in span}
        )
        if end - begin != _ONE_DAY:  # the clock is changed on this day: look at every minute
            minutes = range((end - begin) // timedelta(minutes=1))
        return (begin + timedelta(minutes=minute) for minute in minutes)


def _one_or_several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Schedules = Annotated[
    tuple[Schedule, ...],
    BeforeValidator(
        _one_or_several,
        json_schema_input_type=Schedule | str | tuple[Schedule | str, ...],
    ),
]
"""On where one of them is: ``[mon-fri 18:00-08:00, sat-sun]``."""
