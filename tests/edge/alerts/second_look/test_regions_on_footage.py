"""The default model's own regions on real footage: boxes where there are cars, none elsewhere.

Of the car parked in person-bicycle-car.mp4. Cars from straight above (car-detection.mp4) it sees in
46 of the 110 labelled frames, ten a second: too few to follow one.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from present import present

from edge.alerts.second_look import Box
from edge.alerts.second_look.detectors import RegionsDetector
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.model.bundle.read import open_bundle
from edge.scoring.boxes import overlaps
from edge.scoring.open import open_models
from edge.video.preprocess import Preprocessor
from edge.video.sample import Arrival, Sample

# Labelled by eye (events.json beside the clips): a car all the time; nothing from 8.6 to 14.4 s.
PARKED = ("person-bicycle-car.mp4", 0.4, 3.2)
EMPTY = ("car-detection.mp4", 9.5, 13.5)

# (clip, start, stop, count of frames) -> boxes of each frame.
Look = Callable[[str, float, float, int], list[tuple[Box, ...]]]


@pytest.fixture(scope="module")
def boxes(concepts_bundle: Path, footage: Path) -> Iterator[Look]:
    """Boxes of "a car" in a part of a clip: for each frame in order, best first."""
    bundle = open_bundle(concepts_bundle)
    with (
        open_models(bundle, EngineConfig(kind="onnxruntime", precision="fp32")) as models,
        models.open_regions() as engine,
    ):
        with models.scoring.open_compiler() as compile_prompts:
            bank = compile_prompts({"car": PromptConfig(text=("a car",))}, None)
        detector = RegionsDetector(present(engine), bundle.manifest.image, None)
        find = detector.prepare(bank, {})
        preprocess = Preprocessor(bundle.manifest.image)

        def look(clip: str, start: float, stop: float, count: int) -> list[tuple[Box, ...]]:
            found: list[tuple[Box, ...]] = []
            with av.open(str(footage / clip)) as container:
                wanted = list(np.linspace(start, stop, count))
                for frame in container.decode(video=0):
                    if wanted and frame.time >= wanted[0]:
                        wanted.pop(0)
                        at = Arrival(frame.time, frame.time, None)
                        size = frame.height, frame.width
                        sample = Sample("road", len(found), at, preprocess(frame), size)
                        found.append(find(sample)("car"))
            return found

        yield look


def test_the_box_of_a_car_stays_with_it_from_frame_to_frame(boxes: Look) -> None:
    found = boxes(*PARKED, 12)
    assert all(found)
    best = [np.array([of[0].box]) for of in found]
    assert np.median([overlaps(a, b)[0, 0] for a, b in pairwise(best)]) > 0.5


def test_an_empty_road_has_no_car(boxes: Look) -> None:
    assert boxes(*EMPTY, 8) == [()] * 8
