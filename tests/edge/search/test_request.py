"""Requests and answers: what a subscriber sends and gets, whatever it sends."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.cli.schemas import schemas
from edge.errors import ConfigError
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.search.index.format import Entry
from edge.search.index.store import Reader, Store
from edge.search.request import MOST_REQUEST_BYTES, Answerer

NOW = 1_750_000_000.0
DIM = 16
WANTED = {"schema": "edge-search/1", "text": "a van"}
COMMITTED = Path(__file__).parents[3] / "docs" / "schemas"


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(schemas()[name]), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def compile_text(text: str) -> PromptBank:
    if text == "a defect":
        raise ZeroDivisionError("a defect")
    if text == "gibberish":
        raise ConfigError("prompt 'search': expected a sentence, found 'gibberish'")
    prompt = CompiledPrompt("search", "search", slice(0, 1), slice(1, 1), np.array([1]), None)
    return PromptBank((prompt,), (text, "nothing"), np.eye(2, DIM, dtype=np.float32), (), "")


@pytest.fixture
def ask(tmp_path: Path, make_store: Callable[..., Store]) -> Callable[..., dict[str, Any]]:
    """``ask(request)``: the answer about a yard that saw five vans within the last hour."""
    store = make_store(tmp_path)
    for van in range(5):
        vectors = 0.01 * np.random.default_rng(van).normal(size=(30, DIM)).astype(np.float32)
        vectors[:, 1] += 1
        vectors[10:20, 0] += 2 + van
        start = NOW - 3000 + 600 * van
        store.append("yard", [Entry(start + i, i, row) for i, row in enumerate(vectors)])
        store.keep_picture("yard", start + 15, b"van %d" % van)
    desk = Answerer(
        Reader(tmp_path / "m", DIM), compile_text, lambda: NOW, cameras=lambda: ["door"]
    )
    fits = validator("search-answer.json")

    def run(request: Any) -> dict[str, Any]:
        payload = request if isinstance(request, bytes) else json.dumps(request).encode()
        answer: dict[str, Any] = json.loads(desk.answer(payload))
        fits.validate(answer)
        return answer

    return run


@pytest.mark.parametrize("name", ["search.json", "search-answer.json"])
def test_the_committed_schema_is_that_of_the_records(name: str) -> None:
    assert (COMMITTED / name).read_text() == schemas()[name]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"since": "30m"},
        {"since": 1300},
        {"camera": "door"},
        {"camera": None, "cursor": None},
        {"limit": 2, "cursor": "2@1750000000.000"},
        {"pictures": True},
        {"a key of a newer client": 1},
    ],
)
def test_a_request_that_is_answered_fits_the_schema(
    ask: Callable[..., dict[str, Any]], change: dict[str, Any]
) -> None:
    validator("search.json").validate(WANTED | change)
    assert ask(WANTED | change)["error"] is None


def test_the_answer_has_the_moments_best_first(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask(WANTED)
    assert answer["schema"] == "edge-search/1"
    assert answer["error"] is None
    assert len(answer["moments"]) == 5
    scores = [moment["score"] for moment in answer["moments"]]
    assert scores == sorted(scores, reverse=True)
    best = answer["moments"][0]
    assert best["camera"] == "yard"
    assert best["start"] == "2025-06-15T14:56:49.500Z"
    assert best["end"] == "2025-06-15T14:56:59.500Z"
    assert best["picture"] is None


def test_pictures_come_along_where_they_are_wanted(ask: Callable[..., dict[str, Any]]) -> None:
    best = ask(WANTED | {"pictures": True})["moments"][0]
    assert base64.b64decode(best["picture"]) == b"van 4"


def test_a_cursor_leads_from_page_to_page_and_ends(ask: Callable[..., dict[str, Any]]) -> None:
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        answer = ask(WANTED | {"limit": 2, "cursor": cursor})
        found += answer["moments"]
        cursor, pages = answer["cursor"], pages + 1
    assert pages == 3
    assert found == ask(WANTED)["moments"]


@pytest.mark.parametrize(
    ("camera", "said"),
    [("yrad", "did you mean 'yard'?"), ("cellar", "expected one of door, yard")],
)
def test_a_camera_that_nobody_knows_is_an_error_with_a_suggestion(
    ask: Callable[..., dict[str, Any]], camera: str, said: str
) -> None:
    assert ask(WANTED | {"camera": camera})["error"] == f"there is no camera {camera!r}; {said}"


def test_since_and_camera_restrict(ask: Callable[..., dict[str, Any]]) -> None:
    assert len(ask(WANTED | {"since": "30m"})["moments"]) == 3
    assert len(ask(WANTED | {"since": 1300})["moments"]) == 2
    assert ask(WANTED | {"camera": "door"})["moments"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "gibberish"}, "expected a sentence"),
        ({"text": " "}, "text: "),
        ({"text": "a" * 501}, "text: "),
        ({"schema": "edge-search/2"}, "schema: "),
        ({"limit": 0}, "limit: "),
        ({"limit": 10**9}, "limit: "),
        ({"camera": "../../etc"}, "camera: "),
        ({"since": "yesterday"}, "since: "),
        ({"since": -1}, "since: "),
        ({"cursor": "20"}, "cursor: "),
        ({"cursor": "20@99999999999999.000"}, "cursor: "),
    ],
)
def test_a_wrong_request_is_answered_with_what_is_wrong(
    ask: Callable[..., dict[str, Any]], change: dict[str, Any], said: str
) -> None:
    answer = ask(WANTED | change)
    sentences_the_schema_cannot_judge = {"gibberish", " "}
    if change.get("text") not in sentences_the_schema_cannot_judge:
        assert not validator("search.json").is_valid(WANTED | change)
    assert said in answer["error"]
    assert answer["moments"] == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"{", b"\xff\xfe", b"{}" * 5000, b"[" * 4000, b" " * (MOST_REQUEST_BYTES + 1)],
)  # fmt: skip
def test_what_is_no_request_is_answered_too(
    ask: Callable[..., dict[str, Any]], payload: bytes
) -> None:
    assert ask(payload)["error"]


def test_a_defect_costs_the_search_that_meets_it(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(WANTED | {"text": "a defect"})["error"] == "ZeroDivisionError: a defect"
    assert ask(WANTED)["error"] is None


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    return Answerer(Reader(tmp_path_factory.mktemp("none"), DIM), compile_text, lambda: NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["text", "since", "camera", "limit", "cursor", "pictures", "x"]),
        json_values,
        max_size=7,
    )
)
def test_no_field_can_break_it(desk: Answerer, fields: dict[str, Any]) -> None:
    answer = json.loads(desk.answer(json.dumps(WANTED | fields).encode()))
    assert answer["schema"] == "edge-search/1"


@given(st.binary(max_size=200))
def test_no_bytes_can_break_it(desk: Answerer, payload: bytes) -> None:
    assert json.loads(desk.answer(payload))["error"]
