"""Keeps the scene of one camera: its light, and whether it still has the same view."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.alerts.scene.light import Light, Word
from edge.alerts.scene.view import Moved, View
from edge.video.sample import Arrival


class Scene:
    """The scene of one camera. Pure: time is injected.

    Attributes:
        light: ``day`` or ``night``; None before the first sample.
        change: Last change of the view and its wall time; None where there was none so far, or
            where the lens is no longer covered.

    Args:
        view: View that was learned before; None begins anew.
    """

    def __init__(self, view: View | None = None) -> None:
        self.light: Word | None = None
        self.change: tuple[Literal["moved", "covered"], float] | None = None
        self.view = view or View()
        self._light = Light()

    def step(self, pixels: NDArray[np.int8], at: Arrival, *, still: bool = False) -> Moved | None:
        """Take the pixels [3, H, W] of one sample; return the change that it completes, if any.

        ``still`` says that nothing moved since the sample before.
        """
        self.light = self._light.step(pixels, at.monotonic).word
        changed = self.view.step(pixels, at.monotonic, still=still)
        if changed is not None:
            self.change = changed.kind, at.wall - (at.monotonic - changed.since)
        elif self.change and self.change[0] == "covered" and not self.view.covered:
            self.change = None
        return changed
