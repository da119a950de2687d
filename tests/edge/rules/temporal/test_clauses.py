"""Sentences as people write them, taken apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.rules.temporal.clauses import (
    Absent,
    Expr,
    Gone,
    Lasting,
    Seen,
    Then,
    While,
    clauses,
    meaning,
    parse,
)

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "clauses.json").read_text())
WORDS = [
    "a",
    "the",
    "person",
    "car",
    "stops",
    "then",
    "before",
    "after",
    "while",
    "no",
    "not",
    "without",
    "for",
    "at least",
    "20",
    "s",
    "minutes",
    "within",
    "and",
    ",",
    "it",
    "leaves",
    "is",
    "gone",
    "no longer",
    "nobody",
    ".",
    "ü",
    "𝄞",
    "\t",
    "of",
    "by",
    "since",
    "has",
    "left",
    "followed",
    "",
]


def tree(expression: Expr) -> Any:
    match expression:
        case Seen(text):
            return text
        case Then(steps, within_s):
            return {"then": [tree(step) for step in steps], "within_s": within_s}
        case While(parts):
            return {"while": [tree(part) for part in parts]}
        case Lasting(what, seconds) | Gone(what, seconds) | Absent(what, seconds):
            return {type(expression).__name__.lower(): tree(what), "seconds": seconds}


def leaves(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    inner = (
        node.get("then")
        or node.get("while")
        or [node.get("lasting") or node.get("gone") or node.get("absent")]
    )
    return [leaf for part in inner for leaf in leaves(part)]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["text"])
def test_a_sentence_is_understood_as_written_down(row: dict[str, Any]) -> None:
    if "refused" in row:
        with pytest.raises(ConfigError, match=f"found .{row['refused']}. in"):
            parse(row["text"])
    else:
        expression = parse(row["text"])
        assert tree(expression) == row["tree"]
        assert list(clauses(expression)) == leaves(row["tree"])


def test_the_golden_file_has_every_form() -> None:
    told = json.dumps(GOLDEN)
    assert len(GOLDEN) >= 40
    for form in ("then", "while", "lasting", "gone", "absent", "refused"):
        assert told.count(f'"{form}"') >= 3


@pytest.mark.parametrize(
    "text",
    [
        "a dog then a cat within 0 s",
        "a person waits for 0 seconds",
        "a person waits for 25 hours",
        f"a person waits for {'9' * 400} h",
    ],
)
def test_a_time_that_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="above 0 s and of 24 h at most"):
        parse(text)


def test_an_order_has_one_time() -> None:
    with pytest.raises(ConfigError, match="expected one time for all steps, found 2"):
        parse("a dog then a cat within 5 s then a cow within 9 s")


@pytest.mark.parametrize("piece", ["a then ", "after a b, ", "while a, "])
def test_a_sentence_without_end_is_refused_and_one_that_is_just_not_too_long_is_not(
    piece: str,
) -> None:
    with pytest.raises(ConfigError, match="at most 1000 characters, found"):
        parse(piece * 5000 + "a dog")
    assert clauses(parse((piece * 200)[:990] + "a dog"))


def test_writing_it_in_capitals_or_with_a_full_stop_changes_nothing() -> None:
    plain = tree(parse("a car stops then a person gets out within 30 s"))
    assert tree(parse("a car stops  THEN a person gets out Within 30 S.")) == plain


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=60))
def test_any_text_is_parsed_or_refused_and_no_clause_is_blank(text: str) -> None:
    try:
        expression = parse(text)
    except ConfigError:
        return
    assert meaning(expression)
    if " ".join(text.split()).strip(". "):
        assert all(clause.strip() for clause in clauses(expression))


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join))
def test_a_clause_is_a_clause(text: str) -> None:
    """What was taken apart cannot be taken apart again, or it would mean something else."""
    try:
        parts = clauses(parse(text))
    except ConfigError:
        return
    for part in parts:
        try:
            again = parse(part)
        except ConfigError:
            continue
        assert not isinstance(again, Then) or parse(text) == again


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a dog", "'a dog'"),
        ("a dog then a cat within 5 s", "'a dog', then within 5 s 'a cat'"),
        ("a dog while a cat is there", "'a dog' while 'a cat is there'"),
        ("a dog for 5 s", "'a dog' for 5 s"),
        ("the dog is gone", "'the dog', then not for 10 s"),
        ("no dog", "'dog' not seen for 10 s"),
    ],
)
def test_the_meaning_is_told_in_words(text: str, words: str) -> None:
    assert meaning(parse(text)) == words


@pytest.mark.parametrize("sentence", [", while it rains", " while it rains", ", then", "while , a"])
def test_no_clause_is_empty(sentence: str) -> None:
    assert all(clauses(parse(sentence)))
