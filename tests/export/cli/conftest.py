"""``edge-export`` in the test's own process, with a bundle and a key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Outcome, Run, in_process
from tiny_bundle import tiny_bundle

from export.cli.main import main


@pytest.fixture
def edge_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs ``edge-export ARGUMENTS``; an error has no traceback and is given as one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("EDGE_SIGNING_PASSPHRASE", raising=False)
    with in_process("edge-export", main, capsys, monkeypatch) as run:

        def checked(*arguments: object) -> Outcome:
            outcome = run(*arguments)
            assert "Traceback" not in outcome.err
            return Outcome(outcome.code, outcome.out, " ".join(outcome.err.split()))

        yield checked


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "bundle").path


@pytest.fixture
def key(tmp_path: Path, edge_export: Run) -> Path:
    assert edge_export("keygen", tmp_path / "site.key").code == 0
    return tmp_path / "site.key"
