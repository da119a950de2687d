"""The catalogue: names that are found, refused and explained."""

import re

import pytest

from edge.errors import ConfigError
from export.checkpoints.catalog import CATALOG, Row, find
from export.families import FAMILIES


def test_a_row_is_found_by_its_name_and_by_its_repository() -> None:
    row = find("clip-vit-b-32")
    assert row.hub == "openai/clip-vit-base-patch32"
    assert find(row.hub) is row


@pytest.mark.parametrize("name", ["xclip", "X-CLIP", "x_clip"])
def test_a_bare_xclip_is_refused_with_both_meanings(name: str) -> None:
    with pytest.raises(ConfigError, match=r"two models.*Ni et al.*xclip-ms-b-32.*Ma et al."):
        find(name)


def test_a_slip_of_the_pen_is_answered_with_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean clip-vit-b-32"):
        find("clip-vit-b32")


def test_names_are_unique_and_fit_a_manifest() -> None:
    names = [row.name for row in CATALOG]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) for name in names)


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_a_row_is_complete(row: Row) -> None:
    assert row.family in FAMILIES
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", row.hub)
    # A branch or a tag can be moved: a pin is a whole commit or there is none.
    assert row.revision is None or re.fullmatch(r"[0-9a-f]{40}", row.revision)
    assert row.licence
    assert (row.frames > 1) == (row.family == "xclip_ms")
