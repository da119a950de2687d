"""A real X-CLIP, exported from a tiny checkpoint, asked about the frames around a trigger."""

from collections.abc import Iterator

import numpy as np
import pytest
from exported import Exports
from present import present

from edge.alerts.second_look.clip import ClipLook, ClipMargin
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import ModelError
from edge.scoring.margins import margins
from edge.scoring.open import Models, open_models
from edge.video.sample import Arrival, Sample

RULES = {"car": PromptConfig(text=("a car",), negatives=("a dog",))}


@pytest.fixture(scope="module")
def models(exports: Exports) -> Iterator[Models]:
    built = exports.build("xclip_ms")
    with open_models(built.bundle, EngineConfig(kind="onnxruntime")) as models:
        yield models


@pytest.fixture
def look(models: Models) -> ClipLook:
    return ClipLook(models.scoring, models.bundle.manifest, None)


@pytest.fixture
def margin(look: ClipLook) -> ClipMargin:
    return present(look.prepare(RULES))


def samples(
    models: Models, camera: str = "yard", count: int = 40, every: float = 0.5
) -> Iterator[Sample]:
    spec = models.bundle.manifest.image
    rng = np.random.default_rng(0)
    for sequence in range(count):
        clip = rng.integers(-128, 128, (3, spec.height, spec.width)).astype(np.int8)
        at = Arrival(sequence * every, sequence * every, None)
        yield Sample(camera, sequence, at, np.zeros((3, 8, 8), np.int8), None, clip)


def test_it_says_nothing_before_it_has_seen_as_many_frames_as_it_takes(
    models: Models, look: ClipLook, margin: ClipMargin
) -> None:
    frames = models.bundle.manifest.frames
    for sample in samples(models, "gate", frames):
        look.see(sample)
        assert (margin("car", sample) is None) == (sample.sequence < frames - 1)


def test_its_margin_is_the_one_of_the_last_frames(
    models: Models, look: ClipLook, margin: ClipMargin
) -> None:
    frames = models.bundle.manifest.frames
    seen = list(samples(models, "door", frames + 3))
    for sample in seen:
        look.see(sample)
    told = margin("car", seen[-1])
    clip = np.stack([present(sample.clip_pixels) for sample in seen[-frames:]])[np.newaxis]
    windows = present(models.scoring.windows)
    with models.scoring.open_compiler() as compile_prompts:
        bank = compile_prompts(RULES, None)
    embedding, context = windows.encode(clip)
    cosines = windows._meet(bank, embedding, context)
    assert told == pytest.approx(float(margins(bank, cosines).margin[0, 0]), abs=1e-6)
    assert margin.threshold == models.bundle.manifest.decision.threshold


def test_after_a_gap_it_waits_for_new_frames(
    models: Models, look: ClipLook, margin: ClipMargin
) -> None:
    frames = models.bundle.manifest.frames
    for sample in samples(models, "roof", frames):
        look.see(sample)
    late = next(samples(models, "roof", 1))
    late = Sample("roof", 99, Arrival(1e4, 1e4, None), late.pixels, None, late.clip_pixels)
    look.see(late)
    assert margin("car", late) is None


def test_a_sample_without_pixels_for_it_is_a_mistake(
    models: Models, look: ClipLook, margin: ClipMargin
) -> None:
    bare = Sample("yard", 0, Arrival(0.0, 0.0, None), np.zeros((3, 8, 8), np.int8))
    with pytest.raises(ModelError, match="expected pixels for the clip model"):
        look.see(bare)


def test_a_model_of_single_frames_is_none(exports: Exports) -> None:
    built = exports.build("clip")
    with (
        open_models(built.bundle, EngineConfig(kind="onnxruntime")) as single,
        pytest.raises(
            ModelError, match=r"expected a model of several frames \(class C\), found .* F"
        ),
    ):
        ClipLook(single.scoring, single.bundle.manifest, None)
