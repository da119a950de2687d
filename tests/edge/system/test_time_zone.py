from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tzdata

from edge.errors import ConfigError
from edge.system.time_zone import named_zone, zone_of

WINTER, SUMMER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
DATABASE = Path(tzdata.__file__).parent / "zoneinfo"


def hours(name: str | None = None, localtime: Path = Path("/nonexistent")) -> tuple[float, float]:
    """Hours ahead of UTC in winter and in summer."""
    zone = zone_of(name, localtime)
    winter, summer = (at.astimezone(zone).utcoffset() for at in (WINTER, SUMMER))
    assert winter is not None
    assert summer is not None
    return winter / timedelta(hours=1), summer / timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)


@pytest.mark.parametrize(
    ("variable", "ahead"),
    [
        ("Asia/Seoul", (9, 9)),
        (":Asia/Seoul", (9, 9)),
        ("KST-9", (9, 9)),
        ("<+0530>-5:30", (5.5, 5.5)),
        ("UTC0", (0, 0)),
        ("EST5EDT", (-5, -4)),
        ("CET-1CEST,M3.5.0,M10.5.0/3", (1, 2)),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", (11, 10)),
        (str(DATABASE / "Europe/Berlin"), (1, 2)),
        (f":{DATABASE / 'Europe/Berlin'}", (1, 2)),
    ],
)
def test_each_form_of_the_variable_gives_its_zone(
    variable: str, ahead: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", variable)
    assert hours() == ahead


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ('"Asia/Seoul"', "did you mean Asia/Seoul without quotes or blanks?"),
        ("right/Asia/Seoul", "did you mean Asia/Seoul?"),
        ("Factory", "expected a time zone such as Europe/Berlin, found"),
        ("posixrules", "expected a time zone such as Europe/Berlin, found"),
        ("CEST", "expected a time zone such as Europe/Berlin, found"),
        ("asia/seoul", "did you mean Asia/Seoul?"),
        ("Seoul", "did you mean Asia/Seoul?"),
        ("Asia/Hanoi", "did you mean Asia/"),
        ("KST", "expected a time zone such as Europe/Berlin"),
        ("nowhere at all", "set timezone in the configuration"),
        ("CET-1CEST", "expected the rules of summer time"),
        ("CET-1CEST,M13.2.0,M11.1.0", "Malformed"),
        ("KST-25", "expected a time zone"),
        ("../../../etc/passwd", "expected a time zone"),
        ("/etc/passwd", "expected a readable file of a time zone"),
        ("/nowhere/Asia/Seoul", "expected a readable file of a time zone"),
        ("ÄST-1", "expected a time zone"),
    ],
)
def test_a_variable_that_means_no_zone_is_refused_with_advice(
    variable: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", variable)
    with pytest.raises(ConfigError) as caught:
        zone_of(None)
    assert advice in str(caught.value)
    assert repr(variable) in str(caught.value)
    assert hours("Europe/Berlin") == (1, 2), "the configuration's own zone wins"


def test_the_systems_zone_counts_where_no_variable_is_set(tmp_path: Path) -> None:
    assert hours(localtime=DATABASE / "Europe" / "Berlin") == (1, 2)
    assert hours(localtime=tmp_path / "none") == (0, 0)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "")
    assert hours(localtime=DATABASE / "Europe" / "Berlin") == (1, 2)


def test_a_link_to_a_missing_file_names_the_zone(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/no/zoneinfo/Asia/Seoul")
    assert hours(localtime=link) == (9, 9)


@pytest.mark.parametrize("content", [b"", b"Asia/Seoul\n", b"TZif2" + bytes(20)])
def test_a_damaged_system_zone_is_refused(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "localtime"
    broken.write_bytes(content)
    with pytest.raises(ConfigError, match="set timezone in the configuration"):
        zone_of(None, broken)


def test_names_differ_by_their_case() -> None:
    with pytest.raises(ValueError, match="did you mean Europe/Berlin"):
        named_zone("europe/berlin")
