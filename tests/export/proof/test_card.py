"""The accuracy card: what it says, word for word, and that it always says the same."""

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from tiny_bundle import tiny_facts, tiny_files

from edge.errors import ConfigError
from edge.model.bundle.manifest import ModelInfo, Precision
from export.bundle.pack import Artefact, write_bundle
from export.proof import card_plot
from export.proof.agreement import Agreement, Prompts, Share
from export.proof.answers import Steadiness
from export.proof.card import Card, CardVariant, Environment, accuracy_json, these_conditions
from export.proof.card_files import card_files
from export.proof.card_plot import accuracy_png
from export.proof.card_text import accuracy_card
from export.proof.gates import GATES, judge
from export.proof.verify import Closeness, Measured, compare

ROWS, DIM = 20, 8
RNG = np.random.default_rng(4)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


ORIGINAL = unit(RNG.standard_normal((ROWS, DIM)))
PROMPTS = Prompts(
    ("a cat", "a dog", "a car"),
    unit(RNG.standard_normal((3, DIM))),
    unit(RNG.standard_normal((2, DIM))),
    0.1,
)


def variant(file: str, noise: float, **changes: Any) -> CardVariant:
    """The original with noise; the same for each file name and amount."""
    rng = np.random.default_rng(9)
    found = unit(ORIGINAL + rng.standard_normal(ORIGINAL.shape) * noise)
    measured = compare(
        {"embedding": found},
        {"embedding": ORIGINAL},
        prompts=PROMPTS,
        steadiness=Steadiness(0.0, 1e-6, 2e-5),
    )
    precisions: dict[str, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}
    precision = precisions[file.split(".")[1]]
    return replace(
        CardVariant(
            file=file,
            role="image",
            precision=precision,
            runtime="onnxruntime 1.30 on CPU",
            inputs="frames",
            measured=measured,
            verdict=judge(measured, GATES["image", precision]),
        ),
        **changes,
    )


CARD = Card(
    name="tiny",
    model=ModelInfo(family="clip", id="tiny/clip", revision="abc123", licence="MIT"),
    variants=[
        variant("image.fp32.onnx", 0),
        variant("image.int8.onnx", 0.01, columns={"mean_concept_cosine": 0.9975}),
        variant("image.fp16.onnx", 0.5),
    ],
    refused={
        "text.int8.onnx": "embedding: expected finite answers, found others for 2 of 20 inputs"
    },
    inputs={"frames": "of the yard, 1 a second"},
    prompts=PROMPTS.texts,
    threshold=0.1,
    conditions=Environment("Tiny CPU", {"python": "3.11", "onnxruntime": "1.30"}),
    limits=("Anything about the text tower.",),
)

# By hand, so that no processor's rounding is part of the text.
SAID = replace(
    CARD,
    variants=[
        replace(
            CARD.variants[1],
            measured=Measured(
                inputs=50,
                outputs={"embedding": Closeness(0.03125, np.array([0.9975] * 49 + [0.9775]), 1.03)},
                same_prompt=Agreement(Share(49, 50), 0.0125),
                alerts=Share(30, 31),
                finds_itself=Share(50, 50),
                steadiness=Steadiness(0.0, None, None),
            ),
        ),
        replace(
            CARD.variants[2],
            measured=Measured(
                inputs=50,
                outputs={"embedding": Closeness(0.25, np.full(50, 0.875), 0.125)},
                same_prompt=Agreement(Share(10, 50), 0.25),
                finds_itself=Share(50, 50),
                steadiness=Steadiness(0.0, 0.5, 0.01),
            ),
        ),
    ],
)
SAID = replace(
    SAID,
    variants=[
        replace(said, verdict=judge(said.measured, GATES["image", said.precision]))
        for said in SAID.variants
    ],
)
GOLDEN = """\
# What the variants of `tiny` lost

tiny/clip (family clip, revision `abc123`). Each variant and the float original got the same inputs; here is how their answers differ.

* **`image.int8.onnx`**: cosine to the original 0.9971 on average, 0.9775 for the worst of 50 frames. The same first choice for 49 of 50 (98.0 %, 95 % interval 90 to 100 %). Where not, the original preferred its own by 0.013 at most. Alerts in common: 30 of 31 (96.8 %, 95 % interval 84 to 99 %).

![Left: loss of each input. Right: margins, original and variant.](accuracy.png)

## Left out of the bundle

* **`image.fp16.onnx`**
    * cosine to the float original, worst of 50: expected at least 0.999, found 0.875 (embedding)
    * spread of the answers over that of the references: expected at least 0.5, found 0.125 (embedding)
    * same first choice: expected at least 0.99, found 10 of 50 (20.0 %, 95 % interval 11 to 33 %); the original preferred its own by 0.250 at most
    * among other neighbours, difference: expected at most 0.001, found 0.5
    * alone and in a batch, difference: expected at most 0.001, found 0.01
* **`text.int8.onnx`**
    * embedding: expected finite answers, found others for 2 of 20 inputs

## In numbers

| file | measured on | cosine mean | worst | same choice | same alerts | retrieval | spread | mean concept cosine |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| image.int8.onnx | 50 frames, onnxruntime 1.30 on CPU | 0.9971 | 0.9775 | 49/50 | 30/31 | 50/50 | 1.0300 | 0.9975 |
| image.fp16.onnx | 50 frames, onnxruntime 1.30 on CPU | 0.8750 | 0.8750 | 10/50 |  | 50/50 | 0.1250 |  |

## Against the gates

| found (limit) | image.int8.onnx | image.fp16.onnx |
| --- | --- | --- |
| worst cosine | 0.9775 (at least 0.96) | **0.875 (at least 0.999) failed** |
| mean cosine | 0.9971 (at least 0.99) |  |
| spread | 1.03 (at least 0.5) | **0.125 (at least 0.5) failed** |
| same first choice | 0.98 (at least 0.97) | **0.2 (at least 0.99) failed** |
| retrieval | 1 (at least 0.95) | 1 (at least 0.99) |
| asked twice | 0 (at most 1e-06) | 0 (at most 1e-06) |
| among other neighbours | 0 (at most 0.001) | **0.5 (at most 0.001) failed** |
| alone and in a batch | 0 (at most 0.02) | **0.01 (at most 0.001) failed** |

## How it was measured

* frames: of the yard, 1 a second
* first choice among: a cat, a dog, a car
* an alert: a margin of 0.1 or more; those in common are of all that the variant or the original gives
* retrieval: an answer finds its own reference among those of all inputs
* spread: mean distance of two answers, over that of two references
* intervals: Wilson's, 95 %
* on Tiny CPU; python 3.11, onnxruntime 1.30

## What this does not say

* Anything about the text tower.
* Whether the model is right. It is agreement with the float original: where that is wrong, a variant that agrees is wrong too.
* What happens on other inputs. The intervals take inputs for independent; frames of one video are not, so for those they are too narrow.
* What another runtime, version or processor gives. The device repeats a part of this with the bundle's golden inputs before it uses a graph (`edge check`).
"""


def test_the_card_says_this() -> None:
    assert accuracy_card(SAID, "accuracy.png").decode() == GOLDEN


def test_inputs_that_nothing_was_asked_are_not_told() -> None:
    card = replace(CARD, inputs={"frames": "of the yard", "clips": "of the street"})
    assert b"* frames: of the yard\n" in accuracy_card(card)
    assert b"of the street" not in accuracy_card(card)


def test_without_a_picture_the_card_shows_none() -> None:
    assert "](" not in accuracy_card(CARD).decode()


def test_nothing_left_out_is_said_too() -> None:
    card = replace(CARD, variants=CARD.variants[:1], refused={})
    assert "## Left out of the bundle\n\nNothing.\n" in accuracy_card(card).decode()


def test_a_detector_is_told_by_its_detections() -> None:
    measured = replace(
        CARD.variants[0].measured, margins=None, same_prompt=None, alerts=None, finds_itself=None,
        matched=Share(57, 60),
    )  # fmt: skip
    text = accuracy_card(replace(CARD, variants=[replace(CARD.variants[0], measured=measured)]))
    assert b"Detections kept: 57 of 60 (95.0 %" in text
    assert b"| 57/60 |" in text
    assert b"same choice" not in text, "a column that is empty is not shown"


def test_programs_read_what_people_read() -> None:
    document = json.loads(accuracy_json(CARD))
    assert document["schema"] == "edge-accuracy/1"
    assert document["model"] == {
        "name": "tiny", "family": "clip", "id": "tiny/clip", "revision": "abc123", "licence": "MIT",
    }  # fmt: skip
    assert list(document["variants"]) == ["image.fp32.onnx", "image.int8.onnx"]
    row = document["variants"]["image.int8.onnx"]
    cosines = CARD.variants[1].measured.main.cosines
    assert cosines is not None
    assert row["mean_cosine"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert row["min_cosine"] == pytest.approx(cosines.min(), abs=1e-5)
    assert row["inputs"] == "20 frames"
    assert row["mean_concept_cosine"] == 0.9975
    assert row["batch_difference"] == 2e-5
    assert row["retrieval"]["total"] == row["same_prompt"]["total"] == 20
    assert row["same_prompt"]["low"] < row["same_prompt"]["count"] / 20
    assert all(check["passed"] for check in row["checks"])
    left_out = document["left_out"]
    assert left_out["text.int8.onnx"]["reasons"] == list(CARD.refused.values())
    assert left_out["image.fp16.onnx"]["min_cosine"] < 0.999
    assert "expected at least 0.999" in left_out["image.fp16.onnx"]["reasons"][0]
    assert document["measured"]["prompts"] == ["a cat", "a dog", "a car"]
    assert document["measured"]["cpu"] == "Tiny CPU"
    assert document["limits"][0] == "Anything about the text tower."


def test_the_format_page_names_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "bundle-format.md").read_text()
    section = page.partition("## `accuracy.json`")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", section))
    document = json.loads(accuracy_json(CARD))
    row = document["variants"]["image.fp32.onnx"]
    measured = replace(CARD.variants[0].measured, matched=Share(1, 2))
    row |= json.loads(
        accuracy_json(replace(CARD, variants=[replace(CARD.variants[0], measured=measured)]))
    )["variants"]["image.fp32.onnx"]
    written = {*document, *document["model"], *document["measured"], *row, *row["checks"][0]}
    written |= {*row["outputs"]["embedding"], *row["same_prompt"]}
    assert written - told == set()


def test_small_numbers_are_not_rounded_to_nothing() -> None:
    measured = replace(CARD.variants[0].measured, steadiness=Steadiness(1.2345e-7, None, None))
    card = replace(CARD, variants=[replace(CARD.variants[0], measured=measured)])
    row = json.loads(accuracy_json(card))["variants"]["image.fp32.onnx"]
    assert row["repeat_difference"] == 1.23e-7
    assert "batch_difference" not in row


def test_conditions_name_what_took_part() -> None:
    conditions = these_conditions("numpy")
    assert conditions.versions["numpy"] == np.__version__
    assert conditions.versions.keys() == {"python", "numpy"}
    assert conditions.cpu


@pytest.fixture(scope="module")
def files() -> dict[str, Artefact]:
    """Drawn once: it takes a second."""
    return card_files(CARD)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.info.keys() <= {"dpi"}, "no clock, no software"
        return np.asarray(picture.convert("RGB")).astype(int)


def oranges(png: bytes) -> int:
    """Pixels in the second variant's colour."""
    return int((np.abs(pixels(png) - (0xD5, 0x5E, 0x00)).sum(axis=2) < 12).sum())


def test_the_picture_is_the_same_bytes_whatever_a_user_has_set(files: dict[str, Artefact]) -> None:
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "#000000"}):
        assert accuracy_png(CARD) == files["accuracy.png"].data


def test_each_variant_is_drawn_and_a_card_without_prompts_has_one_panel(
    files: dict[str, Artefact],
) -> None:
    both = files["accuracy.png"].data
    assert pixels(both).shape == (560, 1280, 3)
    assert oranges(both) > 500
    exact = replace(CARD.variants[0], measured=replace(CARD.variants[0].measured, margins=None))
    one = accuracy_png(replace(CARD, variants=[exact]))
    assert pixels(one).shape == (560, 640, 3)
    assert oranges(one) == 0


def test_without_matplotlib_there_is_a_card_and_a_word_about_the_picture(
    files: dict[str, Artefact], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(files) == ["accuracy.json", "accuracy.png", "accuracy.md"]
    assert "](accuracy.png)" in files["accuracy.md"].data.decode()
    monkeypatch.setattr(card_plot, "find_spec", lambda name: None)
    plain = card_files(CARD)
    assert list(plain) == ["accuracy.json", "accuracy.md"]
    assert "accuracy.png" not in plain["accuracy.md"].data.decode()
    assert "expected matplotlib, found none; install it with: pip install" in caplog.text


def test_asking_for_the_picture_without_matplotlib_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(ConfigError, match=r"needs matplotlib.*camera-edge-runtime\[demo\]"):
        accuracy_png(CARD)


def test_a_bundle_holds_the_card_and_its_picture(
    files: dict[str, Artefact], tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", tiny_facts(), tiny_files() | files)
    document = json.loads(bundle.read("accuracy"))
    assert list(document["variants"]) == ["image.fp32.onnx", "image.int8.onnx"]
    assert (bundle.path / "accuracy.png").read_bytes() == files["accuracy.png"].data
