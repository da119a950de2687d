"""Holds the settings of a comparison of two bundles, with their defaults."""

from dataclasses import dataclass

from export.proof.sentences import SENTENCES


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a comparison.

    Attributes:
        sentences: Sentences that pictures choose among; at least two.
        rounds: Number of turns of each variant.
        turn_s: Seconds of each turn.
        fps: Frames per second that are taken from a video.
        pictures: Largest number of pictures that are compared.
    """

    sentences: tuple[str, ...] = SENTENCES
    rounds: int = 5
    turn_s: float = 1.0
    fps: float = 2.0
    pictures: int = 128
