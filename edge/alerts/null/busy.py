"""Measures for which share of the time alerts run, so that a scene is not taken for an event."""

from typing import Final

# What is there for more than a quarter of the time is the scene and no event. Frames of alerts are
# then learned from as well: otherwise a threshold that is far too low would never be corrected.
_ORDINARY_SHARE: Final = 0.25
_SHARE_S: Final = 6 * 3600.0
_SHARE_FROM_S: Final = 3600.0


class BusyShare:
    """Share of the time in which alerts run: an exponential mean over six hours.

    Attributes:
        share: The share, 0..1.
        seconds: Watched time that it comes from, in seconds.
    """

    def __init__(self, share: float = 0.0, seconds: float = 0.0) -> None:
        self.share = share
        self.seconds = seconds

    def add(self, passed_s: float, *, alerting: bool) -> None:
        """Add ``passed_s`` seconds with or without an alert."""
        self.seconds += passed_s
        if self.seconds > 0:
            weight = passed_s / min(self.seconds, _SHARE_S)
            self.share += weight * (alerting - self.share)

    @property
    def is_the_scene(self) -> bool:
        """Whether alerts run so often that they show the ordinary scene."""
        return self.seconds > _SHARE_FROM_S and self.share > _ORDINARY_SHARE
