"""Files that are no configuration: not our YAML, empty, endless, twice the same, not there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from config_text import added

from edge.config.load import load_config
from edge.errors import ConfigError


def test_duplicate_cameras_are_refused_though_yaml_would_keep_the_last(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(added("  yard: {url: rtsp://192.0.2.11/x}")) == [
        "edge.yaml:8: cameras: duplicate key 'yard', first given in line 7"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "device: {id: a\nbundle: b\n",
            "edge.yaml:2:7: not valid YAML: expected ',' or '}', but got ':'",
        ),
        (
            "a: b\n\tc: d\n",
            "edge.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token",
        ),
        ("a: 'b\n", "edge.yaml:2:1: not valid YAML: found unexpected end of stream"),
        ("a: *b\n", "edge.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "edge.yaml:2:1: not valid YAML: but found another document"),
        (
            "a: {b: ${C}}\n",
            (
                "edge.yaml:1:9: not valid YAML: expected ',' or '}', but got '{'; "
                'inside { } and [ ] write "${NAME}" with quotes'
            ),
        ),
        ("a: \x07\n", "edge.yaml:1: expected text, found a control character"),
        ("[" * 5000, "edge.yaml:1:22: not valid YAML: nested too deeply"),
        ("&a [*a]\n", None),
        ("a: &a\n  <<: *a\n", None),
        ('a: "\\UFFFFFFFF"\n', None),
        ("- a\n- b\n", "edge.yaml:1: expected a section of keys and values, found a list"),
        (
            "just a word\n",
            "edge.yaml:1: expected a section of keys and values, found 'just a word'",
        ),
    ],
)
def test_what_is_not_our_yaml_is_refused_with_line_and_column(
    problems: Callable[..., list[str]], text: str, expected: str | None
) -> None:
    (line,) = problems(text)
    assert line == expected or expected is None


def test_an_empty_file_misses_every_key_it_needs(problems: Callable[..., list[str]]) -> None:
    assert [line.rpartition(" ")[2] for line in problems("# nothing\n")[1:]] == [
        "'bundle'",
        "'cameras'",
        "'device'",
        "'mqtt'",
        "'prompts'",
    ]


def test_aliases_that_multiply_are_stopped(problems: Callable[..., list[str]]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (line,) = problems("\n".join(lines))
    assert "at most 100000 values, found more: does an alias contain itself?" in line


def test_a_file_that_is_not_there_or_not_text_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml: No such file"):
        load_config(tmp_path / "nowhere.yaml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, {})
    (tmp_path / "latin.yaml").write_bytes("a: b\nc: Hänsel\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: expected YAML in UTF-8"):
        load_config(tmp_path / "latin.yaml", {})
    (tmp_path / "video.mp4").write_bytes(os.urandom(2 * 1024 * 1024))
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        load_config(tmp_path / "video.mp4", {})
