"""The files of an accuracy card, drawn once for all tests: the picture takes a second."""

import pytest
from cards import CARD

from export.bundle.pack import Artefact
from export.proof.card_files import card_files


@pytest.fixture(scope="session")
def files() -> dict[str, Artefact]:
    return card_files(CARD)
