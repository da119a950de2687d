"""Turns a card into the files that go into a bundle."""

import logging

from export.bundle.pack import Artefact
from export.proof.card import Card, accuracy_json
from export.proof.card_plot import accuracy_png, can_plot
from export.proof.card_text import accuracy_card

_PICTURE = "accuracy.png"
_log = logging.getLogger(__name__)


def card_files(card: Card) -> dict[str, Artefact]:
    """Return ``accuracy.json``, ``accuracy.md`` and, where matplotlib is installed, the picture."""
    files = {"accuracy.json": Artefact("accuracy", accuracy_json(card))}
    if can_plot():
        files[_PICTURE] = Artefact("card", accuracy_png(card))
    else:
        _log.warning(
            "the accuracy card gets no picture: expected matplotlib, found none; install it with: "
            "pip install 'camera-edge-runtime[demo]'"
        )
    picture = _PICTURE if _PICTURE in files else None
    return files | {"accuracy.md": Artefact("card", accuracy_card(card, picture))}
