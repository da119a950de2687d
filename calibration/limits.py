"""Limits of a calibration set. It imports nothing, so that a command line can name them at once."""

from typing import Final

# Fewer frames say too little about an activation's range. A choice, not a measurement.
MIN_FRAMES: Final = 32
