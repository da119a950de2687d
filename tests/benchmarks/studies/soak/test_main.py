"""The verdict of a soak: what grows for sure fails, what is lost fails."""

from typing import Any

from benchmarks.measuring.held import Held
from benchmarks.studies.soak.__main__ import figures


def rows(leak_mb: float = 0.0, fds: int = 0) -> list[tuple[float, Held, int]]:
    return [
        (
            at,
            Held(300 + leak_mb * at / 3600 + (at % 3) / 10, 40 + int(fds * at / 3600), 20, at / 10),
            0,
        )
        for at in map(float, range(0, 3600, 5))
    ]


def verdict(found: list[tuple[float, Held, int]], **facts: Any) -> bool:
    usual: dict[str, Any] = {"lost": set(), "committed": 9, "faults": 3, "code": 0, "early": False}
    passed = figures(found, **usual | facts)["passed"]
    assert isinstance(passed, bool)
    return passed


def test_a_flat_hour_passes_and_a_leak_fails() -> None:
    assert verdict(rows())
    assert verdict(rows(leak_mb=0.5))
    assert not verdict(rows(leak_mb=2))
    assert not verdict(rows(leak_mb=20))
    assert not verdict(rows(fds=60))


def test_a_lost_alert_an_early_end_or_an_exit_code_fails() -> None:
    assert not verdict(rows(), committed=0)  # nothing that could have been lost
    assert not verdict(rows(), lost={"01A"})
    assert not verdict(rows(), early=True)
    assert not verdict(rows(), code=1)
