"""Whatever stands in the file: a configuration or a ConfigError that can be printed."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.load import load_config
from edge.config.models import Config
from edge.errors import ConfigError

_GOOD = {
    "device": {"id": "nvr-01"},
    "bundle": "b",
    "mqtt": {"host": "broker.example"},
    "prompts": {"dog": {"text": "a dog", "on": {"for": 1, "of": 1}}},
    "cameras": {"yard": {"url": "rtsp://u:p@192.0.2.1/x", "prompts": ["dog"]}},
}
_KEYS = (
    "device id bundle mqtt host port password tls cert prompts dog text negatives threshold on for "
    "of off_after cameras yard url sample fps loop engine kind threads background << state_dir"
)
_PIECES = [
    *_KEYS.split(),
    *(": ", ":\n  ", "\n", "\n  ", "- ", "{", "}", "[", "]", ", ", '"', "'", "# ", "? ", "| ", ">-\n"),
    *("&a ", "*a", "!secret ", "!x ", "!!int ", "${A}", "${B:c}", "$${", "${", "---\n", "...\n"),
    *("1", "-0.5", "1e999", "true", "null", "~", "10s", ".inf", "9" * 5000, "\\u0000", '"\\ud800"'),
    *("rtsp://u:p@h/", "rtsp://[", "file:", "\t", "\x00", "\ufeff", "\u2028", "é", "%YAML 1.2\n"),
]  # fmt: skip

texts = st.text() | st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)
words = st.sampled_from(_KEYS.split()) | st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(_PIECES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def outcome(content: bytes) -> Config | str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.yaml"
        path.write_bytes(content)
        try:
            return load_config(path, {"A": "1", "D": "\udcff"})
        except ConfigError as error:
            return str(error).encode().decode()


def swapped(tree: Any, path: list[str], value: Any) -> Any:
    """``tree`` with the value at ``path`` replaced; a missing key on the way is added."""
    if not path or not isinstance(tree, dict):
        return value
    return tree | {path[0]: swapped(tree.get(path[0]), path[1:], value)}


@settings(max_examples=300)
@given(texts)
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    outcome(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_config_error(content: bytes) -> None:
    outcome(content)


_PATHS = [
    *([key] for key in _GOOD),
    *([key, name] for key, section in _GOOD.items() if isinstance(section, dict) for name in section),
    *(["mqtt", key] for key in ("port", "password", "tls", "keepalive", "nonsense")),
    *(["prompts", "dog", key] for key in ("text", "on", "threshold", "off_after", "negatives")),
    *(["cameras", "yard", key] for key in ("url", "prompts", "sample", "loop", "timeout")),
    *(["engine"], ["background"], ["embeddings", "every"], ["state_dir"]),
]  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(_PATHS), values)
def test_no_value_in_any_place_raises_anything_but_a_config_error(
    path: list[str], value: Any
) -> None:
    tree = swapped(_GOOD, path, value)
    result = outcome(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))
    assert isinstance(result, Config) or result.count("\n") < 200


def test_the_unchanged_tree_is_good() -> None:
    """Negative control: the fuzz starts from a file that loads."""
    assert isinstance(outcome(yaml.safe_dump(_GOOD).encode()), Config)
