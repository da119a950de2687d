"""Whether the box's clock is synchronised, by whoever sets it."""

from pathlib import Path

import pytest

from edge.system import clock
from edge.system.clock import clock_synced


@pytest.mark.parametrize(("state", "synced"), [(0, True), (1, True), (5, False), (-1, None)])
def test_without_timesyncd_the_kernel_says_it(
    tmp_path: Path, state: int, synced: bool | None
) -> None:
    assert clock_synced(tmp_path / "none", lambda: state) is synced


def test_timesyncd_says_it_itself(tmp_path: Path) -> None:
    assert clock_synced(tmp_path, lambda: 0) is False
    (tmp_path / "synchronized").touch()
    assert clock_synced(tmp_path, lambda: 5) is True


def test_a_filter_of_system_calls_that_kills_who_asks_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = tmp_path / "status"
    monkeypatch.setattr(clock, "_PROCESS", process)
    monkeypatch.setattr(clock, "_ASK", killing)
    process.write_text("Name:\tedge\nSeccomp:\t2\nSeccomp_filters:\t1\n")
    assert clock_synced(tmp_path / "none") is None
    process.write_text("Name:\tedge\nSeccomp:\t0\nSeccomp_filters:\t0\n")
    with pytest.raises(KeyboardInterrupt):  # negative control
        clock_synced(tmp_path / "none")


def killing(_timex: object) -> int:
    """What adjtimex does under a filter that ends who asks."""
    raise KeyboardInterrupt


def test_the_kernel_of_this_machine_is_asked_and_its_clock_stays(tmp_path: Path) -> None:
    answer = clock_synced(tmp_path / "none")
    assert answer in {True, False, None}
    assert clock_synced(tmp_path / "none") is answer
