"""One word for each thing: what docs/names.md says of itself holds for it and for the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "export", "calibration", "benchmarks", "deploy")


def rows(text: str) -> list[tuple[str, str]]:
    """First and last column of each row of the table that is no heading."""
    cells = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return [(row[0].strip(), row[-1].strip()) for row in cells[1:] if "**" not in row[0]]


def words(column: str) -> list[str]:
    return [word.strip().lower() for word in column.split(",") if word.strip()]


def repeated(said: Iterable[str]) -> set[str]:
    """Words that stand twice, in the singular or the plural."""
    singular = [word.removesuffix("s") for word in said]
    return {word for word in singular if singular.count(word) > 1}


def refused(text: str) -> set[str]:
    """Words that no name may contain: of the last column, and of no other sense."""
    table = rows(text)
    said = {word for say, _ in table for word in words(say)}
    outside = words(text.rpartition("uses them:")[2].replace("\n", " ").rstrip(". "))
    return {word for _, no in table for word in words(no)} - said - set(outside)


def definitions(source: str) -> Iterable[tuple[str, bool]]:
    """Public classes and functions of a module: name, and whether it is a class."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(
            node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and not node.name.startswith("_"):
            yield node.name, isinstance(node, ast.ClassDef)


def parts(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.fixture(scope="module")
def names() -> str:
    return (ROOT / "docs" / "names.md").read_text("utf-8")


@pytest.fixture(scope="module")
def sources() -> Mapping[Path, str]:
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT): path.read_text("utf-8") for path in found}


def test_a_word_has_one_row(names: str) -> None:
    said = [word for say, _ in rows(names) for word in words(say)]
    assert len(said) > 100
    assert repeated(said) == set()


def test_a_public_class_name_belongs_to_one_class(sources: Mapping[Path, str]) -> None:
    places = defaultdict(list)
    for path, source in sources.items():
        for name, is_class in definitions(source):
            if is_class:
                places[name].append(path.as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_name_contains_a_refused_word(names: str, sources: Mapping[Path, str]) -> None:
    no = refused(names)
    assert len(no) > 50
    found = {
        f"{path.as_posix()}: {name}: {word}"
        for path, source in sources.items()
        for name, _ in definitions(source)
        for word in no & parts(name)
    }
    assert found == set()


def test_the_checks_find_what_they_look_for() -> None:
    table = (
        "| Say | For | Not |\n|---|---|---|\n| plan, part | a | grabber, image |\n| plans | b | |\n"
    )
    text = table + "Words that a library uses them: image."
    assert repeated(word for say, _ in rows(text) for word in words(say)) == {"plan"}
    assert refused(text) == {"grabber"}
    assert list(definitions("class FrameGrabber:\n def _of(self): ...\ndef of(): ...")) == [
        ("FrameGrabber", True),
        ("of", False),
    ]
    assert parts("FrameGrabber") == {"frame", "grabber"}
    assert parts("to_RTSPImage") == {"to", "rtsp", "image"}
