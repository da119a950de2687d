"""The page about threats names what holds each line, and stays a page."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()


def test_every_file_and_target_that_the_page_names_is_there() -> None:
    paths = set(re.findall(r"`((?:tests|deploy)/[\w./-]+)`", PAGE))
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
    targets = set(re.findall(r"`make (\w+)`", PAGE))
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert not [target for target in targets if f"\n{target}:" not in makefile]


def test_every_threat_has_a_defence_and_what_holds_it() -> None:
    table = PAGE.partition("| What | Threat |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    assert len(rows) > 8
    for _, threat, defence, held_by in rows:
        assert threat.strip()
        assert defence.strip()
        assert re.search("`(tests/|make )", held_by)


def test_it_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 60
