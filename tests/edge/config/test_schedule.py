"""Schedules against a clock on the wall that is looked at every minute."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.config.schedule import Schedule

# ruff: noqa: DTZ001  a clock on the wall says nothing of its zone

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",  # half an hour off
    "Australia/Lord_Howe",  # summer time of half an hour
    "Pacific/Chatham",  # 45 minutes off, and summer time
    "America/Sao_Paulo",  # had its change at midnight
)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = timedelta(minutes=1)


def schedule(value: Any) -> Schedule:
    return Schedule.model_validate(value)


def next_change(made: Schedule, at: datetime) -> datetime:
    change = made.next_change(at)
    assert change is not None
    return change


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def naive_active(
    days: set[str], hours: list[tuple[int, int]], skipped: set[date], wall: datetime
) -> bool:
    """Walk through the minutes of the day, and of the day before, as a person would."""
    minute = wall.hour * 60 + wall.minute
    for ago in (0, 1):
        day = wall.date() - timedelta(days=ago)
        if DAYS[day.weekday()] not in days or day in skipped:
            continue
        for begin, end in hours:
            over_midnight = end <= begin
            inside = begin <= minute < (1440 if over_midnight else end)
            inside_tomorrow = over_midnight and minute < end
            if (ago == 0 and inside) or (ago == 1 and inside_tomorrow):
                return True
    return False


def text_of(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


SPANS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda s: s[0] != s[1])
# Weeks around changes of summer time as well as any others.
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1)) | st.sampled_from(
    [
        datetime(2026, 3, 29, 0, 30),
        datetime(2026, 10, 25, 0, 30),
        datetime(2026, 3, 8, 6, 30),
        datetime(2026, 11, 1, 5, 30),
        datetime(2026, 4, 4, 14, 30),
        datetime(2026, 10, 3, 15, 0),
        datetime(2018, 11, 4, 2, 30),
        datetime(2028, 2, 28, 23, 0),
        datetime(2026, 12, 31, 12, 0),
    ]
)


@given(
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    hours=st.lists(SPANS, min_size=1, max_size=3),
    around=MOMENTS,
    skip=st.sets(st.integers(-2, 6), max_size=3),
    zone=st.sampled_from(ZONES),
)
@example(days={"sun"}, hours=[(135, 165)], around=datetime(2026, 3, 28), skip=set(), zone=ZONES[0])
@example(
    days={"sat"}, hours=[(1320, 150)], around=datetime(2026, 10, 24), skip=set(), zone=ZONES[0]
)
def test_it_is_on_exactly_while_the_clock_on_the_wall_shows_a_time_inside(
    days: set[str], hours: list[tuple[int, int]], around: datetime, skip: set[int], zone: str
) -> None:
    skipped = {around.date() + timedelta(days=step) for step in skip}
    made = schedule(
        {
            "days": sorted(days),
            "hours": [f"{text_of(begin)}-{text_of(end)}" for begin, end in hours],
            "except": [day.isoformat() for day in sorted(skipped)],
            "timezone": zone,
        }
    )
    at = around.replace(tzinfo=UTC, second=0, microsecond=0)
    local = [(at + step * MINUTE).astimezone(ZoneInfo(zone)) for step in range(36 * 60)]
    on = [naive_active(days, hours, skipped, moment.replace(tzinfo=None)) for moment in local]
    for step in range(0, len(on), 7):
        assert made.active(local[step]) == on[step], local[step]
    change = made.next_change(at)
    if (not on[0]) in on:
        assert change == local[on.index(not on[0])]
    elif change is not None:
        assert change > local[-1]
        assert made.active(change) != on[0]


def test_a_naive_reference_that_forgets_midnight_is_noticed() -> None:
    """The control of the property above: it tells apart what differs at one minute only."""
    made = schedule({"hours": ["22:00-06:00"], "timezone": "UTC"})
    wall = datetime(2026, 5, 1, 5, 59)
    assert made.active(wall.replace(tzinfo=UTC))
    assert not naive_active(set(DAYS), [(1320, 1440)], set(), wall)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("mon-fri 22:00-06:00", {"days": ["mon-fri"], "hours": ["22:00-06:00"]}),
        ("sat, sun", {"days": ["sat", "sun"]}),
        ("08:00-12:00 13:00-17:00", {"hours": ["08:00-12:00", "13:00-17:00"]}),
        ("fri-mon", {"days": ["fri", "sat", "sun", "mon"]}),
    ],
)
def test_one_text_means_what_it_says(short: str, long: dict[str, list[str]]) -> None:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    for step in range(0, 7 * 24 * 60, 15):
        moment = at + step * MINUTE
        assert schedule(short).active(moment) == schedule(long).active(moment)


def test_without_anything_it_is_always_on_and_never_changes() -> None:
    at = datetime(2026, 3, 29, tzinfo=UTC)
    assert schedule({}).active(at)
    assert schedule({}).next_change(at) is None


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    night = schedule("fri 22:00-06:00")
    assert night.active(berlin("2026-11-28T05:59"))  # Saturday morning
    assert not night.active(berlin("2026-11-27T05:59"))  # Friday morning: Thursday's night
    assert not night.active(berlin("2026-11-28T06:00"))


def test_a_date_left_out_takes_the_night_that_begins_then_and_leaves_the_one_before() -> None:
    night = schedule({"hours": "22:00-06:00", "except": "2026-12-24"})
    assert night.active(berlin("2026-12-24T01:00"))
    assert not night.active(berlin("2026-12-24T23:00"))
    assert not night.active(berlin("2026-12-25T01:00"))
    assert night.active(berlin("2026-12-25T23:00"))


def test_the_schedules_own_zone_counts_and_not_that_of_the_time() -> None:
    made = schedule({"hours": "09:00-17:00", "timezone": "Asia/Kolkata"})
    assert made.active(datetime(2026, 7, 1, 3, 30, tzinfo=UTC))  # 09:00 there
    assert not made.active(datetime(2026, 7, 1, 3, 29, tzinfo=UTC))
    assert not made.active(berlin("2026-07-01T16:00"))  # 19:30 there


@pytest.mark.parametrize(
    ("night", "hours"),
    [("2026-03-28", 7), ("2026-10-24", 9), ("2026-11-24", 8)],
)
def test_a_night_over_a_change_of_summer_time_has_its_own_length(night: str, hours: int) -> None:
    made = schedule("22:00-06:00")
    begin = next_change(made, berlin(f"{night}T12:00"))
    end = next_change(made, begin)
    assert (begin.hour, end.hour) == (22, 6)
    assert end.astimezone(UTC) - begin.astimezone(UTC) == timedelta(hours=hours)


def test_the_skipped_half_hour_never_comes_and_the_change_after_it_is_next_weeks() -> None:
    made = schedule("sun 02:15-02:45")
    change = made.next_change(berlin("2026-03-29T00:00"))
    assert change == berlin("2026-04-05T02:15")


def test_a_span_into_the_skipped_hour_ends_where_the_clock_jumps() -> None:
    made = schedule("sat 22:00-02:30")
    change = next_change(made, berlin("2026-03-28T23:00"))
    assert change == berlin("2026-03-29T03:00")
    assert change.astimezone(UTC) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_the_repeated_half_hour_comes_twice() -> None:
    made = schedule("sun 01:15-01:45")
    at = datetime(2026, 11, 1, tzinfo=NEW_YORK)
    changes = []
    for _ in range(4):
        at = next_change(made, at)
        changes.append(at.astimezone(UTC).strftime("%H:%M"))
    assert changes == ["05:15", "05:45", "06:15", "06:45"]


def test_summer_time_of_half_an_hour_jumps_by_half_an_hour() -> None:
    # Lord Howe: on 2026-10-04 02:00 becomes 02:30.
    made = schedule({"hours": "02:10-02:40", "timezone": "Australia/Lord_Howe"})
    at = datetime(2026, 10, 4, tzinfo=ZoneInfo("Australia/Lord_Howe"))
    begin = next_change(made, at)
    end = next_change(made, begin)
    assert begin.strftime("%H:%M") == "02:30"
    assert end.astimezone(UTC) - begin.astimezone(UTC) == timedelta(minutes=10)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        ("2028-02-29", "2028-02-28", "2028-03-01"),  # leap day
        ("2026-12-31", "2026-12-30", "2027-01-01"),
    ],
)
def test_the_odd_days_of_the_calendar_are_days(day: str, before: str, after: str) -> None:
    only = schedule({"hours": "12:00-13:00", "except": [before, after]})
    assert only.active(berlin(f"{day}T12:30"))
    assert not only.active(berlin(f"{before}T12:30"))
    assert not only.active(berlin(f"{after}T12:30"))


def test_a_date_left_out_ends_spans_that_are_on_without_a_gap_until_then() -> None:
    made = schedule({"hours": ["23:00-13:00", "12:00-23:30"], "except": "2026-12-24"})
    assert made.next_change(berlin("2026-11-30T10:00")) == berlin("2026-12-24T13:00")


def test_the_next_change_lies_after_any_number_of_days_left_out() -> None:
    closed = [(date(2026, 12, 1) + timedelta(days=step)).isoformat() for step in range(100)]
    made = schedule({"days": "mon", "hours": "08:00-09:00", "except": closed})
    assert made.next_change(berlin("2026-12-01T00:00")) == berlin("2027-03-15T08:00")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected days and hours such as mon-fri 22:00-06:00"),
        ("mon-fir", "expected a day (mon, "),
        ("mon 8:00-9:00", "expected hours such as 08:00-17:30"),
        ("24:00-06:00", "expected hours such as"),
        ("08:00-08:00", "expected two different times (all day is 00:00-24:00)"),
        ({"days": []}, "at least 1 item"),
        ({"except": ["2026-02-30"]}, "expected a date such as 2026-12-24"),
        ({"except": ["24.12.2026"]}, "expected a date such as 2026-12-24"),
        ({"timezone": "Europe/Berln"}, "(did you mean Europe/Berlin?)"),
        ({"timezone": "../../etc/passwd"}, "expected a time zone such as Europe/Berlin"),
        ({"timezone": "Europe"}, "expected a time zone such as Europe/Berlin"),
        ({"hour": "08:00-09:00"}, "Extra inputs"),
        (7, "expected days and hours such as mon-fri 22:00-06:00"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        schedule(value)
    assert message in str(caught.value)


@given(st.text() | st.text("mon-frisu0123456789:, "))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        made = schedule(text)
    except ValidationError:
        return
    assert isinstance(made.active(datetime(2026, 1, 1, tzinfo=UTC)), bool)


def test_it_is_kept_as_written_and_comes_back_equal() -> None:
    made = schedule({"days": "mon-fri", "except": ["2026-12-24"], "timezone": "Europe/Berlin"})
    assert schedule(made.model_dump(mode="json", by_alias=True)) == made
    assert made.days == ("mon-fri",)
