"""What prompts mean to the bundle: which axis they lead to, and how far they are covered."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle, open_bundle
from edge.rules.bank import PromptBank, explain
from edge.rules.compiler import compile_bank
from edge.rules.text import TextEncoder, Tokenizer
from edge.scoring.open import open_models
from export.default_bundle.concepts import NOTHING, UNEXPRESSED

pytestmark = pytest.mark.bundle

# No sentence here is an anchor.
COVERED = {
    "a person climbs the fence": "person",
    "someone climbs over the gate": "person",
    "a burglar at the window": "person",
    "children playing in the street": "person",
    "people waiting in line": "person",
    "a car on the road": "car",
    "a white car": "car",
    "two cars passing each other": "car",
    "a car in the driveway": "car",
    "a truck at the loading dock": "truck",
    "a motorcycle parked on the sidewalk": "motorcycle",
    "someone leaves a bicycle at the wall": "bicycle",
    "a big dog in the garden": "dog",
    "a stray cat": "cat",
    "a horse in the field": "horse",
    "a hand grabbing a bottle": "bottle",
    "three plastic bottles": "bottle",
    "a suitcase left alone": "suitcase",
    "an open laptop": "laptop",
    "a boat in the harbour": "boat",
    "a bird at the feeder": "bird",
    "a forklift in the warehouse": "imagenet:forklift",
    "a shopping cart on the pavement": "imagenet:shopping cart",
    "a rabbit in the yard": "imagenet:wood rabbit",
}
UNCOVERED = (
    "smoke",
    "smoke from the roof",
    "a house on fire",
    "a package on the doorstep",
    "somebody left a parcel",
    "an unusual mood",
    "water on the floor",
    "a leak in the ceiling",
    "heavy rain on the street",
    "the garage door is open",
    "a wet floor",
    "an elevator",
    "a QR code",
    "quarterly earnings",
)
EMPTY = ("an empty road", "an empty room", "nobody at the door", "an empty parking lot")


@pytest.fixture(scope="module")
def bundle(concepts_bundle: Path) -> Bundle:
    return open_bundle(concepts_bundle)


@pytest.fixture(scope="module")
def encoder(bundle: Bundle) -> Iterator[TextEncoder]:
    spec = bundle.manifest.text
    with (
        open_models(bundle, EngineConfig(kind="onnxruntime")) as models,
        models.open_text_engine() as engine,
    ):
        yield TextEncoder(engine, Tokenizer(bundle.tokenizer(), spec), spec)


@pytest.fixture(scope="module")
def compiled(bundle: Bundle, encoder: TextEncoder) -> Callable[..., Any]:
    def compiled(**texts: str) -> PromptBank:
        prompts = {name: PromptConfig(text=(text,)) for name, text in texts.items()}
        spec, axes = bundle.manifest.text, bundle.axes()
        return compile_bank(prompts, spec.background, encoder, spec, model_hash="x", axes=axes)

    return compiled


@pytest.mark.parametrize(("prompt", "axis"), COVERED.items(), ids=COVERED)
def test_a_prompt_leads_to_what_it_names(
    bundle: Bundle, encoder: TextEncoder, prompt: str, axis: str
) -> None:
    encoding = encoder.encode([prompt])
    axes = bundle.axes()
    assert axes is not None
    [(first, weight), *_] = explain(encoding.embeddings[0], axes)
    if first == "unexpressed":
        [_, (first, weight), *_] = explain(encoding.embeddings[0], axes)
    assert first == axis
    assert weight > 0.4


def test_a_prompt_of_what_it_knows_is_not_warned_about(
    bundle: Bundle, encoder: TextEncoder
) -> None:
    coverage = encoder.encode(list(COVERED)).coverage
    least = bundle.manifest.text.coverage_warning
    assert coverage is not None
    assert least is not None
    warned = (coverage < least).tolist()
    assert [prompt for prompt, low in zip(COVERED, warned, strict=True) if low] == []


@pytest.mark.parametrize("prompt", UNCOVERED)
def test_what_no_axis_shows_is_reported_and_claims_little(
    bundle: Bundle, encoder: TextEncoder, prompt: str
) -> None:
    encoding = encoder.encode([prompt])
    assert encoding.coverage is not None
    assert encoding.coverage[0] < bundle.manifest.text.coverage_warning
    assert np.linalg.norm(encoding.embeddings[0, :UNEXPRESSED]) < 0.5


@pytest.mark.parametrize("prompt", EMPTY)
def test_emptiness_means_nothing(bundle: Bundle, encoder: TextEncoder, prompt: str) -> None:
    encoding = encoder.encode([prompt])
    assert encoding.embeddings[0].argmax() == NOTHING
    assert encoding.coverage is not None
    assert encoding.coverage[0] > bundle.manifest.text.coverage_warning


def test_a_poorly_covered_prompt_is_compiled_with_a_note(compiled: Callable[..., Any]) -> None:
    bank = compiled(fumes="smoke", car="a car")
    [note] = bank.notes
    assert str(note).startswith("prompt 'fumes': poorly covered (0.")


def test_emptiness_has_only_itself_as_background(compiled: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="'empty' has nothing to be compared against"):
        compiled(empty="an empty road")


def test_what_it_cannot_do_a_gun_in_the_hand_is_just_a_person(
    bundle: Bundle, encoder: TextEncoder
) -> None:
    """Said in the README; should it ever work, say that instead."""
    armed, unarmed = encoder.encode(["a person holding a gun", "a person"]).embeddings
    assert armed @ unarmed > 0.99
