"""The card's picture: what it shows, and that it is always the same."""

import io
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from cards import CARD
from PIL import Image

from edge.errors import ConfigError
from export.bundle.pack import Artefact
from export.proof.card_plot import accuracy_png


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.info.keys() <= {"dpi"}, "no clock, no software"
        return np.asarray(picture.convert("RGB")).astype(int)


def oranges(png: bytes) -> int:
    """Pixels in the second variant's colour."""
    return int((np.abs(pixels(png) - (0xD5, 0x5E, 0x00)).sum(axis=2) < 12).sum())


def test_the_picture_is_the_same_bytes_whatever_a_user_has_set(files: dict[str, Artefact]) -> None:
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "#000000"}):
        assert accuracy_png(CARD) == files["accuracy.png"].data


def test_each_variant_is_drawn_and_a_card_without_prompts_has_one_panel(
    files: dict[str, Artefact],
) -> None:
    both = files["accuracy.png"].data
    assert pixels(both).shape == (560, 1280, 3)
    assert oranges(both) > 500
    exact = replace(CARD.variants[0], measured=replace(CARD.variants[0].measured, margins=None))
    one = accuracy_png(replace(CARD, variants=[exact]))
    assert pixels(one).shape == (560, 640, 3)
    assert oranges(one) == 0


def test_asking_for_the_picture_without_matplotlib_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(ConfigError, match=r"needs matplotlib.*camera-edge-runtime\[demo\]"):
        accuracy_png(CARD)
