"""The card for people: what it says, word for word."""

from dataclasses import replace

from cards import CARD, SAID

from export.proof.agreement import Share
from export.proof.card_text import accuracy_card

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


def test_inputs_that_nothing_was_asked_are_not_reported() -> None:
    card = replace(CARD, inputs={"frames": "of the yard", "clips": "of the street"})
    assert b"* frames: of the yard\n" in accuracy_card(card)
    assert b"of the street" not in accuracy_card(card)


def test_without_a_picture_the_card_shows_none() -> None:
    assert "](" not in accuracy_card(CARD).decode()


def test_nothing_left_out_is_said_too() -> None:
    card = replace(CARD, variants=CARD.variants[:1], refused={})
    assert "## Left out of the bundle\n\nNothing.\n" in accuracy_card(card).decode()


def test_a_detector_is_reported_by_its_detections() -> None:
    measured = replace(
        CARD.variants[0].measured, margins=None, same_prompt=None, alerts=None, finds_itself=None,
        matched=Share(57, 60),
    )  # fmt: skip
    text = accuracy_card(replace(CARD, variants=[replace(CARD.variants[0], measured=measured)]))
    assert b"Detections kept: 57 of 60 (95.0 %" in text
    assert b"| 57/60 |" in text
    assert b"same choice" not in text, "a column that is empty is not shown"
