"""Says what a text shows, and makes a text safe to show. Pure."""

import unicodedata
from typing import Final

# Letters and symbols of Unicode that have no shape: fillers of Hangul, the empty braille pattern,
# and the mark of an object that is elsewhere.
_SHAPELESS: Final = "\u115f\u1160\u3164\uffa0\u2800\ufffc"
# Letters, numbers, punctuation, symbols. Blanks, control characters, marks and the like need one.
_SHAPED: Final = "LNPS"


def is_visible(text: str) -> bool:
    """Whether at least one character can be seen."""
    return any(
        unicodedata.category(character)[0] in _SHAPED and character not in _SHAPELESS
        for character in text
    )


def printable(text: str) -> str:
    """Return a text as one line without control characters: a peer must not steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
