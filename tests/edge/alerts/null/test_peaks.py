"""What is known about peaks: which alerts are sure to be ordinary."""

import numpy as np
import pytest

from edge.alerts.null.clusters import Cluster
from edge.alerts.null.peaks import Peaks


def sure(*clusters: tuple[float, Cluster]) -> list[bool]:
    peaks = Peaks()
    for at, cluster in clusters:
        peaks.add(cluster, at)
    return [bool(one) for one in peaks.table[4]]


ALERT = Cluster(5.0, 3.0, alerts=1, place=1)


def test_a_cluster_below_the_threshold_is_ordinary_and_a_lone_alert_is_not_known() -> None:
    assert sure((0.0, Cluster(2.0, 3.0)), (5000.0, ALERT)) == [True, False]


def test_a_visit_is_one_alarm_and_what_goes_on_beyond_it_is_ordinary() -> None:
    alerts = [Cluster(5.0, 3.0, alerts=1, place=place) for place in (1, 2, 3, 4)]
    timed = [(1000.0 + 200.0 * number, alert) for number, alert in enumerate(alerts)]
    assert sure(*timed[:2], (9000.0, ALERT)) == [False, False]
    assert sure(*timed) == [False, True, True]


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (Cluster(5.0, 3.0, alerts=2, place=2), False),
        (Cluster(5.0, 3.0, alerts=3, place=3), True),
        (Cluster(5.0, 3.0, alerts=1, place=1, lasted=True), True),
    ],
)
def test_what_alerts_again_and_again_or_stays_is_the_scene(
    cluster: Cluster, expected: bool
) -> None:
    assert sure((0.0, cluster)) == [expected]


def test_peaks_that_are_all_equal_make_room_too() -> None:
    """A still picture and a flash each minute."""
    peaks = Peaks()
    for number in range(5000):
        if peaks.is_full:
            peaks.make_room(number * 60.0)
        peaks.add(Cluster(1.0), number * 60.0)
    assert 1000 < len(peaks) <= 2048


def test_a_wrong_alert_is_found_by_its_peak() -> None:
    peaks = Peaks()
    for at, peak in ((0.0, 4.0), (5000.0, 5.0), (9000.0, 7.0)):
        peaks.add(Cluster(peak, 3.0, alerts=1, place=1), at)
    assert peaks.admit(5.5)  # persistence makes the cluster's peak smaller than the alert's
    assert peaks.table[4].tolist() == [0, 1, 0]
    assert not peaks.admit(3.5)


def three_alerts() -> Peaks:
    peaks = Peaks()
    for at, peak in ((0.0, 4.0), (5000.0, 5.0), (9000.0, 7.0)):
        peaks.add(Cluster(2.0), at)
        peaks.add(Cluster(peak, 3.0, alerts=1, place=1), at)
    return peaks


def test_an_alert_is_found_by_its_time_whatever_its_height() -> None:
    peaks = three_alerts()
    assert peaks.admit(9.0, 4980.0)  # by its height it would be the last
    assert peaks.table[4].tolist() == [1, 0, 1, 1, 1, 0]
    assert not peaks.admit(9.0, 30_000.0)


def test_a_right_alert_counts_no_more() -> None:
    peaks = three_alerts()
    peaks.confirm(9.0, 4980.0)
    assert peaks.table[0].tolist() == [2, 4, 2, 2, 7]
    peaks.confirm(9.0, 20_000.0)  # an alert that is not kept
    assert len(peaks) == 5
    assert peaks.admit(9.0, -10.0)
    peaks.confirm(9.0, -10.0)  # a person may change his mind
    assert peaks.table[0].tolist() == [2, 2, 2, 7]


def test_the_second_alert_of_a_visit_speaks_for_the_visit() -> None:
    peaks = three_alerts()
    peaks.add(Cluster(5.0, 3.0, alerts=1, place=2), 9200.0)  # of the visit that is counted already
    assert len(peaks) == 6
    peaks.confirm(9.0, 9190.0)
    assert peaks.table[0].tolist() == [2, 4, 2, 5, 2]


def test_alerts_of_a_level_change_are_ordinary() -> None:
    peaks = Peaks()
    for at in (0.0, 5000.0, 9000.0):
        peaks.add(ALERT, at)
    peaks.admit_between(4000.0, 6000.0)
    assert peaks.table[4].tolist() == [0, 1, 0]


def test_peaks_are_rare_by_the_last_day_also_after_a_restart() -> None:
    """By all the time that was watched, of which only the newest peaks are kept, they would be."""
    peaks, again, days = Peaks(), Peaks(), 40
    for number in range(150 * days):
        at = number / 150 * 86_400
        if peaks.is_full:
            peaks.make_room(at)
        peaks.add(Cluster(1.0 + number % 7), at)
    again.restore(peaks.table, peaks.since_s)
    assert not peaks.are_rare(days * 86_400)
    assert not again.are_rare(days * 86_400)
    assert not again.are_rare((days + 0.8) * 86_400)  # a quiet Sunday
    assert again.are_rare((days + 1) * 86_400)  # a day without any


def test_version_1_had_only_peaks_that_are_sure() -> None:
    peaks = Peaks()
    peaks.restore(np.ones((3, 4), np.float32), 0.0)
    assert peaks.table[3:].tolist() == [[0] * 4, [1] * 4]
    for shape in ((4, 4), (5,), (3, 5000)):
        with pytest.raises(ValueError, match="expected"):
            peaks.restore(np.ones(shape, np.float32), 0.0)
