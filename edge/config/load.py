"""Reads a YAML file into a ``Config``, or raises one ``ConfigError`` that lists all problems.

::

    edge.yaml: 2 problems
    edge.yaml:12: cameras.yard: unknown key 'ulr'; did you mean 'url'?
    edge.yaml:13: cameras.yard.sample.fps: expected at most 60, found 250
"""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from edge.config.document import Document, Place, read_document, suggestion, unicode_text
from edge.config.fields import LocalPath
from edge.config.models import Config
from edge.config.schema import expected_at
from edge.config.urls import passwords
from edge.errors import ConfigError
from edge.system.redact import redact, register_secret

_Record = TypeVar("_Record", bound=BaseModel)
_File = TypeVar("_File", bound=Config)
_LOCAL_PATH = TypeAdapter[Path](LocalPath)

# What was expected, by the type of pydantic's error. The numbers come from the error's context.
_EXPECTED = {
    "string_type": "text",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "model_type": "a section of keys and values",
    "dict_type": "a section of keys and values",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    # Only names have a pattern.
    "string_pattern_mismatch": "1 to 64 letters, digits, '_', '.' or '-', a letter or digit first"
    " (a name becomes a level of MQTT topics)",
}


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration file, and fill in defaults.

    Relative paths start from the folder of the file. From now on, its secrets are masked in every
    log and message, errors included.

    Raises:
        ConfigError: The file cannot be read or has problems; the message has one line for each.
    """
    return load_document(path, Config, environment)[0]


def load_document(
    path: Path, record: type[_File], environment: Mapping[str, str] = os.environ
) -> tuple[_File, Document]:
    """Read a file of a kind that extends the configuration, like ``load_config``.

    Args:
        path: Path of the file.
        record: What the file must fit.
        environment: Variables that the file may name.

    Returns:
        The settings, and the values as they are written, with variables and secrets filled in.

    Raises:
        ConfigError: The file cannot be read or has problems; the message has one line for each.
    """
    document = read_document(path, environment)
    _register_secrets(document, record)
    config = None
    try:
        config = record.model_validate(
            {} if document.values is None else document.values,
            context={"folder": path.absolute().parent},
        )
    except ValidationError as exc:
        _report_all(document, exc, record)
    _check_references(document)
    _check_empty(document)
    if config is None or document.problems:
        raise ConfigError(_listing(document))
    return config, document


def read_state_dir(
    path: Path, environment: Mapping[str, str] = os.environ, folder: Path | None = None
) -> Path:
    """Read nothing but ``state_dir`` of a configuration file, whatever is wrong elsewhere in it.

    Variables and secrets of other settings need not be there, as the service has them alone.

    Args:
        path: Configuration file.
        environment: Variables.
        folder: Folder that a relative path starts from; None: that of the file.

    Raises:
        ConfigError: The file cannot be read, or ``state_dir`` is wrong.
    """
    document = read_document(path, environment)
    _register_secrets(document, Config)
    values = document.values if isinstance(document.values, dict) else {}
    wrong = [text for _, text in document.problems if text.startswith("state_dir:")]
    if wrong:
        raise ConfigError(f"{path}: {'; '.join(wrong)}")
    found = values.get("state_dir", Config.model_fields["state_dir"].default)
    try:
        return _LOCAL_PATH.validate_python(
            found, context={"folder": folder or path.absolute().parent}
        )
    except ValidationError as exc:
        raise ConfigError(f"{path}: state_dir: expected a path, found {found!r:.80}") from exc


def checked(record: type[_Record], values: Any, place: Place = ()) -> _Record:
    """Check values that do not come from a file, with the same messages as ``load_config``.

    Args:
        record: Record class that the values must fit.
        values: Plain values, as JSON gives them.
        place: Place that the values would have in the file.

    Raises:
        ConfigError: The values have problems; the message has one line for each.
    """
    found = dict(_places(values, place))
    document = Document(Path(), values, dict.fromkeys(found, 1))
    for where, value in found.items():
        if isinstance(value, str):
            try:
                unicode_text(value)
            except ValueError as exc:
                document.report(where, str(exc))
    if not document.problems:
        try:
            return record.model_validate(values)
        except ValidationError as exc:
            _report_all(document, exc, Config, place)
    raise ConfigError(_printable("\n".join(text for _, text in sorted(set(document.problems)))))


def _listing(document: Document) -> str:
    lines = [f"{document.path}:{line}: {text}" for line, text in sorted(set(document.problems))]
    if len(lines) > 1:
        lines.insert(0, f"{document.path}: {len(lines)} problems")
    return _printable("\n".join(lines))


def _printable(message: str) -> str:
    """Mask the secrets in a message, and escape characters that UTF-8 cannot encode."""
    return redact(message).encode("utf-8", "backslashreplace").decode()


def _register_secrets(document: Document, record: type[Config]) -> None:
    for place, value in _places(document.values):
        if place == ("mqtt", "host"):  # a URL, by mistake
            for secret in passwords(f"//{str(value).rpartition('://')[2]}"):
                register_secret(secret)
        if not expected_at(place, record).get("writeOnly"):
            continue
        if place[-1] != "url":
            register_secret(str(value))
            continue
        for secret in passwords(str(value)) | _tokens(str(value), document.borrowed.get(place, [])):
            register_secret(secret)


def _tokens(url: str, borrowed: list[str]) -> set[str]:
    """Values of variables in a camera's URL, such as in its path or query.

    User and host are left out: a log that masks them cannot identify the camera.
    """
    try:
        parts = urlsplit(url)
        public = {str(part) for part in (parts.username, parts.hostname, parts.port)}
    except ValueError:
        return set(borrowed)
    return set(borrowed) - public if parts.netloc else set()


def _places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield each value of a tree and its place, but no nulls."""
    if value is None:
        return
    yield place, value
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*place, step))


def _report_all(
    document: Document, exc: ValidationError, record: type[Config], place: Place = ()
) -> None:
    """Add pydantic's errors of the value at ``place``: first what is wrong, then what is missing.

    pydantic counts only the items that are right, so a list is too short beside each wrong item.
    """
    errors = exc.errors(include_url=False)
    for error in sorted(errors, key=lambda error: error["type"] == "too_short"):
        where = (*place, *error["loc"])
        if error["type"] != "too_short" or not document.reported_within(where):
            _report(document, error | {"loc": where}, record)


def _report(document: Document, error: ErrorDetails, record: type[Config]) -> None:
    """Add one of pydantic's errors to the problems, in our wording."""
    place = document.written(tuple(step for step in error["loc"] if step != "[key]"))
    if place in document.unread and error["type"] != "extra_forbidden":
        return  # the value is already a problem
    context = error.get("ctx", {})
    match error["type"]:
        case "missing" if isinstance(error["loc"][-1], int):  # one number of a point
            whole = tuple(step for step in error["loc"][:-1] if step != "[key]")
            least = expected_at(whole, record).get("minItems", "more")
            document.report(whole, f"expected {least} values, found {len(error['input'])}")
        case "missing":
            document.report(place[:-1], f"missing key {place[-1]!r}")
        case "extra_forbidden":
            known = list(expected_at(place[:-1], record).get("properties", {}))
            text = f"unknown key {place[-1]!r}; {suggestion(str(place[-1]), known)}"
            document.report(place[:-1], text, document.lines.get(place))
        case "too_short" | "too_long" if error["input"]:
            count = _EXPECTED[error["type"]].format_map(context)
            document.report(place, f"expected {count} values, found {len(error['input'])}")
        case "value_error":  # our own validators
            found = (
                "" if isinstance(error["input"], dict) else _found(document, place, error, record)
            )
            document.report(place, f"{context['error']}{found}")
        case kind:
            expected = _EXPECTED[kind].format_map(context)
            text = f"expected {expected}{_found(document, place, error, record)}"
            words = re.findall(r"'(.*?)'", expected) if kind == "literal_error" else []
            if close := get_close_matches(str(error["input"]), words, n=1):
                text += f"; did you mean {close[0]!r}?"
            document.report(place, text)


def _found(document: Document, place: Place, error: ErrorDetails, record: type[Config]) -> str:
    value = error["input"]
    if value is None:
        return ", found nothing"
    if isinstance(value, dict | list):
        kind = "section" if isinstance(value, dict) else "list"
        return f", found {'a' if value else 'an empty'} {kind}"
    if isinstance(value, bool | int | float) and error["type"] == "string_type":
        return f", found a {'boolean' if isinstance(value, bool) else 'number'}: write it in quotes"
    if expected_at(place, record).get("writeOnly"):
        return ""
    if place in document.borrowed:
        return ", found something else in the variable or secret"
    return f", found {value!r:.80}"


def _check_empty(document: Document) -> None:
    """Refuse keys without a value: ``tls:`` above lines that are comments does not mean "none"."""
    for place in document.empty - document.reported:
        document.report(place, "expected a value, found nothing; null asks for the default")


def _check_references(document: Document) -> None:
    """Check that every prompt named by a camera exists, also where other values are wrong."""
    match document.values:
        case {"prompts": dict() as prompts, "cameras": dict() as cameras}:
            known = list(prompts)
        case _:
            return
    for camera, settings in cameras.items():
        named = settings.get("prompts") if isinstance(settings, dict) else None
        for index, name in enumerate(named if isinstance(named, list) else [named]):
            if isinstance(name, str) and name not in prompts:
                place = ("cameras", camera, "prompts", index)
                document.report(place, f"there is no prompt {name!r}; {suggestion(name, known)}")
