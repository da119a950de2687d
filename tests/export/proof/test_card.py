"""The card for programs: what it says, and what its format page says."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cards import CARD

from export.proof.agreement import Share
from export.proof.answers import Steadiness
from export.proof.card import accuracy_json, these_conditions


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
    described = set(re.findall(r"`(\w+)`", section))
    document = json.loads(accuracy_json(CARD))
    row = document["variants"]["image.fp32.onnx"]
    measured = replace(CARD.variants[0].measured, matched=Share(1, 2))
    row |= json.loads(
        accuracy_json(replace(CARD, variants=[replace(CARD.variants[0], measured=measured)]))
    )["variants"]["image.fp32.onnx"]
    written = {*document, *document["model"], *document["measured"], *row, *row["checks"][0]}
    written |= {*row["outputs"]["embedding"], *row["same_prompt"]}
    assert written - described == set()


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
