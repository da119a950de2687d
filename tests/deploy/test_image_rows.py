"""The rows of `make image-test`, and the page that is made of them."""

import sys
from dataclasses import replace
from pathlib import Path

IMAGE = Path(__file__).resolve().parents[1] / "image"
sys.path.append(str(IMAGE))

from rows import ROWS  # noqa: E402  beside the script that runs them
from try_image import Outcome, page, together  # noqa: E402
from workshop import UPDATES  # noqa: E402

SEEN = Outcome(True, "back after 9 s | daemon healthy", "", 61.0, "abc1234", "2026-11-30 15:00")


def line(text: str, row: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {row} |"))


def test_each_row_has_its_own_id_and_a_control_except_those_that_share_one() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert {row.id for row in ROWS if not row.control} == {"U1", "U3", "U4", "U5"}


def test_the_page_tells_what_holds_what_fails_and_what_was_not_run(tmp_path: Path) -> None:
    image = tmp_path / "nvr.img.zst"
    image.write_bytes(bytes(2_400_000))
    text = page({"I1": SEEN, "U2": replace(SEEN, holds=False, seen="still in slot B")}, [image])
    assert "nvr.img.zst 2 MB" in text
    assert f"1 of {len(ROWS)} rows hold, {len(ROWS) - 2} were not run; 2 minutes of boxes" in text
    assert line(text, "I1").endswith("| holds |")
    assert "9 s \\| daemon" in line(text, "I1")
    assert line(text, "U2").endswith("| **fails** |")
    assert line(text, "P1").endswith("| not run |")


def test_the_page_tells_how_long_a_whole_run_took() -> None:
    assert f"{len(ROWS)} rows hold, 0 were not run; all in 40 minutes on" in page(
        {row.id: SEEN for row in ROWS}, whole=40.2
    )


def test_the_update_goes_to_the_box_whose_power_was_cut_and_all_else_stands_alone() -> None:
    groups = [[row.id for row in group] for group in together(ROWS)]
    assert ["P1", "U1"] in groups
    assert len(groups) == len(ROWS) - 1


def test_each_bad_update_that_is_made_is_installed_by_a_row() -> None:
    assert {name for row in ROWS for name in row.updates} == set(UPDATES)
