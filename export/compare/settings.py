"""Holds the settings of a comparison of two bundles, with their defaults."""

from dataclasses import dataclass

from export.proof.sentences import SENTENCES


@dataclass(frozen=True, slots=True)
class Settings:
    """How it is measured.

    Attributes:
        sentences: That are chosen among; at least two.
        rounds: Turns of each variant.
        turn_s: Seconds of each turn.
        fps: Frames per second of video that are looked at.
        pictures: The most that are compared.
    """

    sentences: tuple[str, ...] = SENTENCES
    rounds: int = 5
    turn_s: float = 1.0
    fps: float = 2.0
    pictures: int = 128
