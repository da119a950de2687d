"""Makes shots for sharpening a rule from a few events in a clip (``edge.rules.sharpen``)."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from calibration.labels import Label
from calibration.replay import Setup, shown
from edge.errors import ConfigError
from edge.rules.shots import Shots

# Uncertainty of times that a person types while watching, seconds: samples this near to an edge
# belong to neither side.
EDGE_S: Final = 0.3
_SPAN: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*")


def events_of(clip: Path, spans: Sequence[str], rule: str) -> tuple[Label, ...]:
    """Return labels from typed events such as ``4.4-8.5``.

    Raises:
        ConfigError: An event cannot be read, or overlaps another.
    """
    events = []
    for text in spans:
        match = _SPAN.fullmatch(text)
        if not match or float(match[1]) >= float(match[2]):
            raise ConfigError(
                f"--event: expected two times in seconds such as 4.4-8.5, found {text!r}"
            )
        events.append(
            Label(clip=clip.name, prompt=rule, start_s=float(match[1]), end_s=float(match[2]),
                  tol_s=EDGE_S)
        )  # fmt: skip
    events.sort(key=lambda event: event.start_s)
    for one, next_one in pairwise(events):
        if next_one.start_s <= one.end_s:
            raise ConfigError(
                f"--event: expected events one after another, found {one.start_s:g}-{one.end_s:g} "
                f"and {next_one.start_s:g}-{next_one.end_s:g}"
            )
    return tuple(events)


def shots_of(clip: Path, events: Sequence[Label], setup: Setup) -> Shots:
    """Return the clip's samples as shots: wanted inside an event, unwanted elsewhere.

    Each sample belongs to the nearest event; samples at an event's edges are left out.

    Raises:
        SourceError: The video broke, or had no decodable frame.
        InferenceError: The engine failed.
        ConfigError: No sample lies inside an event.
    """
    starts = np.array([event.start_s for event in events])
    ends = np.array([event.end_s for event in events])
    embeddings, wanted, groups = [], [], []
    for one in shown(clip, setup):
        distance = np.maximum(np.maximum(starts - one.t, one.t - ends), 0.0)
        nearest = int(distance.argmin())
        if one.scored.embedding is None or 0 < distance[nearest] <= EDGE_S:
            continue
        embeddings.append(one.scored.embedding)
        wanted.append(distance[nearest] == 0)
        groups.append(nearest)
    if not any(wanted):
        raise ConfigError(
            f"{clip}: expected samples inside the events, found none at {setup.fps:g} a second; "
            "are the times seconds of this clip?"
        )
    return Shots(np.stack(embeddings), np.array(wanted), np.array(groups))
