"""The files of a card: in a bundle, and without matplotlib."""

import json
from pathlib import Path

import pytest
from cards import CARD
from tiny_bundle import tiny_facts, tiny_files

from export.bundle.pack import Artefact, write_bundle
from export.proof import card_plot
from export.proof.card_files import card_files


def test_without_matplotlib_there_is_a_card_and_a_word_about_the_picture(
    files: dict[str, Artefact], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(files) == ["accuracy.json", "accuracy.png", "accuracy.md"]
    assert "](accuracy.png)" in files["accuracy.md"].data.decode()
    monkeypatch.setattr(card_plot, "find_spec", lambda name: None)
    plain = card_files(CARD)
    assert list(plain) == ["accuracy.json", "accuracy.md"]
    assert "accuracy.png" not in plain["accuracy.md"].data.decode()
    assert "expected matplotlib, found none; install it with: pip install" in caplog.text


def test_a_bundle_holds_the_card_and_its_picture(
    files: dict[str, Artefact], tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", tiny_facts(), tiny_files() | files)
    document = json.loads(bundle.read("accuracy"))
    assert list(document["variants"]) == ["image.fp32.onnx", "image.int8.onnx"]
    assert (bundle.path / "accuracy.png").read_bytes() == files["accuracy.png"].data
