"""Checkpoints of the hub, from its client's cache; and a hub that is not there."""

import shutil
from pathlib import Path

import pytest

from edge.errors import ConfigError
from export.checkpoints.catalog import find
from export.checkpoints.checkpoint import open_checkpoint


def in_the_cache(
    monkeypatch: pytest.MonkeyPatch, root: Path, repository: str, commit: str, source: Path
) -> None:
    """As the hub's own client leaves a repository that it has downloaded."""
    home = root / f"models--{repository.replace('/', '--')}"
    shutil.copytree(source, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))


def test_a_row_is_opened_at_the_commit_that_it_pins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path
) -> None:
    row = find("clip-vit-b-32")
    assert row.revision is not None
    in_the_cache(monkeypatch, tmp_path, row.hub, row.revision, saved)
    opened = open_checkpoint("clip-vit-b-32")
    assert opened.name == "clip-vit-b-32"
    assert (opened.origin.package, opened.origin.version) == (row.hub, row.revision)
    assert (opened.origin.registry, opened.origin.licence) == ("hub", row.licence)
    assert open_checkpoint(row.hub).origin == opened.origin


def test_a_repository_without_a_row_is_opened_and_its_commit_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path
) -> None:
    in_the_cache(monkeypatch, tmp_path, "someone/Own-CLIP", "ab" * 20, saved)
    opened = open_checkpoint("someone/Own-CLIP")
    assert (opened.name, opened.origin.version) == ("own-clip", "ab" * 20)
    assert opened.row is None
    with pytest.raises(ConfigError, match=r"someone/Own-CLIP at cdcd"):
        open_checkpoint("someone/Own-CLIP", revision="cd" * 20)


def test_an_unreachable_hub_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"expected to reach the hub.*copy the directory here"):
        open_checkpoint("clip-vit-b-32")


def test_a_name_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"catalogue, a hub repository .* or a directory"):
        open_checkpoint(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="two models"):
        open_checkpoint("xclip")
