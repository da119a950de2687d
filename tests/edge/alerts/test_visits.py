"""What a person would count: alerts within minutes are one visit."""

import pytest
from present import present

from edge.alerts.visits import Visit, Visits

DAY_S = 86_400.0


def alert(visits: Visits, id_: str, after_s: float, lasts_s: float = 20.0) -> Visit:
    visits.watched_s += after_s
    visits.begin(id_)
    place = present(visits.current)
    visits.watched_s += lasts_s
    visits.end()
    return place


def test_alerts_within_ten_minutes_of_each_other_are_one_visit() -> None:
    visits = Visits()
    assert visits.current is None
    found = [
        alert(visits, "a", 100),
        alert(visits, "b", 590, lasts_s=3000),  # an hour later it is still the same lorry
        alert(visits, "c", 590),
        alert(visits, "d", 610),
    ]
    assert found == [Visit("a", 1), Visit("a", 2), Visit("a", 3), Visit("d", 1)]


def test_an_alert_that_was_denied_is_counted_nowhere() -> None:
    visits = Visits()
    alert(visits, "a", 100)
    visits.watched_s += 500
    visits.begin("denied")
    visits.take_back()
    assert alert(visits, "b", 50) == Visit("a", 2)
    assert alert(visits, "c", 590) == Visit("a", 3)
    visits.watched_s = DAY_S
    assert present(visits.rates()).alerts_per_day == pytest.approx(3, rel=0.1)


def test_rates_are_those_of_the_last_days_and_not_said_before_a_day() -> None:
    visits = Visits()
    for day in range(28):
        if day == 1:
            visits.watched_s = DAY_S - 1
            assert visits.rates() is None
        visits.watched_s = day * DAY_S
        often = 4 if day < 14 else 1
        for hour in range(often):
            for number in range(3):
                alert(visits, f"{day}/{hour}/{number}", 3000 if number == 0 else 60)
    visits.watched_s = 28 * DAY_S
    rates = present(visits.rates())
    assert rates.alerts_per_day == pytest.approx(3 * rates.visits_per_day, rel=0.01)
    assert 1 < rates.visits_per_day < 1.6


def test_a_visit_goes_on_after_a_restart() -> None:
    visits = Visits()
    alert(visits, "a", 2 * DAY_S)
    visits.watched_s += 60
    visits.begin("b")  # it runs when the box stops
    again = Visits.from_bytes(visits.to_bytes())
    assert again.rates() == visits.rates()
    assert alert(again, "c", 100) == Visit("a", 3)
    assert Visits().to_bytes() == Visits.from_bytes(Visits().to_bytes()).to_bytes()


def test_counts_that_come_back_late_are_added() -> None:
    before, since = Visits(), Visits()
    alert(before, "a", DAY_S)
    alert(since, "b", DAY_S)
    since.go_on(Visits.from_bytes(before.to_bytes()))
    assert since.watched_s == 2 * DAY_S + 40
    assert present(since.rates()).visits_per_day == pytest.approx(1, rel=0.1)
    assert alert(since, "c", 30) == Visit("b", 2)


@pytest.mark.parametrize("data", [b"", b"{", b'{"alerts": -1}', b'{"number": "x"}', b"\xff"])
def test_damaged_counts_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected counts of visits"):
        Visits.from_bytes(data)
