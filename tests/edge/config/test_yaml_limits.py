"""Which YAML a configuration may hold: what each form means, and which forms are refused."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.config.document import Document, read_document
from edge.config.nodes import yaml_text
from edge.errors import ConfigError

Read = Callable[[str | bytes], Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text or bytes as ``edge.yaml`` into a document."""

    def run(content: str | bytes) -> Document:
        path = tmp_path / "edge.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_document(path, {})

    return run


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", "on"),
        ("Off", "Off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("007", 7),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1:2:3.5", "1:2:3.5"),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("0E0", 0.0),
        ("1.5e-3", 0.0015),
        ("1_0.5", "1_0.5"),
        (".inf", ".inf"),
        ("-.INF", "-.INF"),
        (".nan", ".nan"),
        ("nan", "nan"),
        ("2026-11-30", "2026-11-30"),
        ("2026-11-30 08:00:00", "2026-11-30 08:00:00"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ('"\\x41\\u00e9"', "Aé"),
        ('"a\\\n  b"', "ab"),
        ("a\n  b", "a b"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ("a#b # comment", "a#b"),
        ("[a, b, ]", ["a", "b"]),
        ("{a:}", {"a": None}),
        ("{a: b, 'c':d, e}", {"a": "b", "c": "d", "e": None}),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!float 1", 1.0),
        ("!!bool 'true'", True),
        ("! 12", 12),
    ],
)
def test_a_word_means_what_yaml_1_2_says_and_every_other_word_is_text(
    read: Read, written: str, meant: object
) -> None:
    document = read(f"key: {written}\n")
    found = document.values["key"]
    assert (document.problems, found, type(found)) == ([], meant, type(meant))


@pytest.mark.parametrize("key", ["on", "no", "007", "1.50", "true", "~", "2026-11-30", "0x1F"])
def test_a_key_is_text_exactly_as_it_is_written(read: Read, key: str) -> None:
    assert read(f"{key}: a\n").values == {key: "a"}
    assert read(f"'{key}': a\n").values == {key: "a"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "---\n", "%YAML 1.2\n---\n", "%YAML 1.1\n---\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n...\n", "\n# comment\n"])
def test_line_ends_marks_and_directives_change_neither_values_nor_lines(
    read: Read, line_end: str, start: str, end: str
) -> None:
    text = f"{start}# comment\na:\n  - on\n  - 0o17\n\nb: {{c: 'd'}}  # e{end}"
    document = read(text.replace("\n", line_end))
    above = start.count("\n")
    assert document.values == {"a": ["on", "0o17"], "b": {"c": "d"}}
    assert {place: line - above for place, line in document.lines.items()} == {
        (): 2,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("b",): 6,
        ("b", "c"): 6,
    }


def test_nothing_but_comments_is_no_document(read: Read) -> None:
    assert read("# a\n\n# b\n").values is None


def test_an_alias_gives_the_value_and_a_merge_gives_the_keys_that_are_not_written(
    read: Read,
) -> None:
    document = read("a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: [*x, {c: 3, f: 4}]\n  b: 5\n")
    assert document.values["d"] == {"b": 1, "c": 2}
    assert document.values["e"] == {"b": 5, "c": 2, "f": 4}
    assert document.lines["e", "c"] == 1
    assert document.lines["e", "b"] == 5


def test_every_duplicate_key_is_reported_with_both_lines(read: Read) -> None:
    document = read("a: 1\nb: {c: 1, c: 2}\na: 3\n'a': 4\n")
    assert document.values == {"a": 1, "b": {"c": 1}}
    assert sorted(document.problems) == [
        (2, "b: duplicate key 'c', first given in line 2"),
        (3, "duplicate key 'a', first given in line 1"),
        (4, "duplicate key 'a', first given in line 1"),
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("!include x", "'!include'"),
        ("!!timestamp 2026-11-30", "'timestamp'"),
        ("!!binary aGk=", "'binary'"),
        ("!!python/object/apply:os.system [id]", None),
        ("!!python/name:os.system", "'python/name:os.system'"),
        ("!<tag:example,2026:x> y", "'tag:example,2026:x'"),
    ],
)
def test_a_tag_other_than_secret_is_refused_or_has_no_effect(
    read: Read, value: str, found: str | None
) -> None:
    document = read(f"a: b\nkey: {value}\n")
    if found is None:
        assert document.values["key"] == ["id"]
    else:
        problem = f"key: expected a plain value or !secret NAME, found the tag {found}"
        assert document.problems == [(2, problem)]
        assert document.unread == {("key",)}


@pytest.mark.parametrize("value", ["!!int x", "!!float x", "9" * 5000, "!!bool 'on'"])
def test_a_number_that_python_cannot_read_is_a_problem_with_its_line(
    read: Read, value: str
) -> None:
    ((line, text),) = read(f"a: b\nkey: {value}\n").problems
    assert line == 2
    assert text.startswith("key: ")


@pytest.mark.parametrize("key", ["[a]", "{a: b}", "? [a]\n", "? {a: b}\n"])
def test_a_collection_as_key_is_a_problem_with_its_line(read: Read, key: str) -> None:
    assert read(f"a: b\n{key}: c\n").problems == [(2, "expected a word as key, found a collection")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: \x07\n", "edge.yaml:1: expected text, found a control character"),
        ("a: b\nc: \x00\n", "edge.yaml:2: expected text, found a control character"),
        ("a: b\nc: \x7f\n", "edge.yaml:2: expected text, found a control character"),
        ("a: b\nc: \ufffe\n", "edge.yaml:2: expected text, found a control character"),
        (b"a: b\nc: \xff\n", "edge.yaml:2: expected YAML in UTF-8, found other bytes"),
        ("a: 1\n".encode("utf-16"), "edge.yaml:1: expected YAML in UTF-8, found other bytes"),
        ("# " + "x" * 2**20, "edge.yaml: expected at most 1 MiB of YAML, found more"),
        ("a: 1\n---\nb: 2\n", "edge.yaml:2:1: not valid YAML: but found another document"),
        ("a: *b\n", "edge.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: &x b\nc: &x d\n", "edge.yaml:2:4: not valid YAML: second occurrence"),
        ("a: b\nc: `d\n", "edge.yaml:2:4: not valid YAML: found character '`' that cannot start any token"),
        ("a: b: c\n", "edge.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("%YAML 2.0\n---\na: b\n", "edge.yaml:1:1: not valid YAML: found incompatible YAML document (version 1.* is required)"),
        ("a: !x!y z\n", "edge.yaml:1:4: not valid YAML: found undefined tag handle '!x!'"),
        ('a: "\\q"\n', "edge.yaml:1:6: not valid YAML: found unknown escape character 'q'"),
        ("&a [*a]\n", "edge.yaml:1: expected a few levels and at most 100000 values, found more: does an alias contain itself?"),
        ("a: &a\n  <<: *a\n", "edge.yaml:1: expected a few levels and at most 100000 values, found more: does an alias contain itself?"),
    ],
)  # fmt: skip
def test_what_is_not_one_small_document_of_text_is_refused_with_its_line(
    read: Read, tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert str(caught.value) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000 + "a\n",
        "? " * 100_000 + "a\n",
    ],
)
def test_a_deep_file_is_refused_at_the_limit_and_not_by_the_interpreter(
    read: Read, content: str
) -> None:
    with pytest.raises(ConfigError, match=r"edge\.yaml:1:\d+: not valid YAML: nested too deeply"):
        read(content)


def test_the_deepest_file_that_is_read(read: Read) -> None:
    document = read("[" * 20 + "]" * 20)
    assert document.values is not None
    with pytest.raises(ConfigError, match="nested too deeply"):
        read("[" * 22 + "]" * 22)


def test_aliases_that_multiply_are_refused_soon(read: Read) -> None:
    lines = ["a0: &a0 {k0: v, k1: v, k2: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 50)}]}}" for n in range(1, 12)]
    before = time.process_time()
    with pytest.raises(ConfigError, match="at most 100000 values"):
        read("\n".join(lines))
    assert time.process_time() - before < 20


@pytest.mark.parametrize(
    "values",
    [
        {"a": ["on", "no", "0E0", "1e3", "007", "12:30", "2026-11-30", "~", "", "true", " x"]},
        {"a": [1, -2.5, True, None, "é", "\u2028", "a\nb", "# c", "!secret x", "${A}".replace("$", "$$")]},
        {"on": {"for": 1}, "007": [], "x" * 2000: {}},
    ],
)  # fmt: skip
def test_values_that_are_written_are_read_back(read: Read, values: dict[str, Any]) -> None:
    text = yaml_text(values)
    document = read(text)
    written = {"a": [*values["a"][:-1], "${A}"]} if "$${A}" in str(values) else values
    assert (document.problems, document.values) == ([], written)
