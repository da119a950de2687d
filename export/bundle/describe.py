"""Describes a bundle, and how two bundles differ, as plain values that print and serialize.

It reads the manifest and ``accuracy.json``. ``Bundle.verify`` checks the other files against the
manifest.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import ModelError
from edge.model.bundle.read import Bundle

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two bundles side by side.

    Attributes:
        facts: Pairs of values that differ, by dotted key; None where a bundle has no value.
        files: Pairs of rows in the two lists of files, by purpose of the file; None where a bundle
            has no such file. All files are listed, each row with its accuracy.
        embeddings_compare: Whether embeddings of the two bundles may be compared with each other.
    """

    facts: dict[str, tuple[Any, Any]]
    files: dict[str, tuple[Row | None, Row | None]]
    embeddings_compare: bool

    @property
    def differing_files(self) -> list[str]:
        """Purposes of the files that differ."""
        return [label for label, (one, other) in self.files.items() if one != other]

    @property
    def equal(self) -> bool:
        """Whether the two bundles say and hold the same."""
        return not self.facts and not self.differing_files


def facts(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest with the bundle's path, hash, signature and losses.

    ``signed`` is the key id that the signature names, unverified. Each of ``files`` has its row of
    ``accuracy.json`` as ``accuracy``. ``left_out`` has the variants that lost too much to be in the
    bundle, where the exporter named them.

    Raises:
        ModelError: ``accuracy.json`` is damaged or of another form.
    """
    document = bundle.manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    variants, left_out = _accuracy(bundle)
    for file in document["files"]:
        if file["file"] in variants:
            file["accuracy"] = variants[file["file"]]
    return {
        "path": str(bundle.path),
        "hash": bundle.hash,
        "signed": None if bundle.signed is None else bundle.signed.key_id,
        **document,
        "left_out": left_out,
    }


def compare(one: Bundle, other: Bundle) -> Difference:
    """Compare the facts of two bundles.

    Raises:
        ModelError: As ``facts``.
    """
    documents = [facts(bundle) for bundle in (one, other)]
    plain = [
        dict(flat({k: v for k, v in document.items() if k not in {"path", "files"}}))
        for document in documents
    ]
    lists = [_by_purpose(document["files"]) for document in documents]
    models = [
        tuple(document["model"][key] for key in ("family", "id", "revision"))
        for document in documents
    ]
    return Difference(
        facts={
            key: values
            for key in sorted(plain[0] | plain[1])
            if (values := (plain[0].get(key), plain[1].get(key)))[0] != values[1]
        },
        files={key: (lists[0].get(key), lists[1].get(key)) for key in lists[0] | lists[1]},
        embeddings_compare=models[0] == models[1] and one.manifest.embedding is not None,
    )


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is not a section, with its dotted key; a list is one value."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))


def purpose(file: Row) -> str:
    """Return the purpose of a file: its role, and the precision and format of a graph."""
    return " ".join(file[key] for key in ("role", "precision", "format") if key in file)


def _by_purpose(files: list[dict[str, Any]]) -> dict[str, Row]:
    """Return files by their purpose; where several share one, the key has the name too."""
    count = Counter(purpose(file) for file in files)
    return {
        purpose(file) if count[purpose(file)] == 1 else f"{purpose(file)} {file['file']}": file
        for file in files
    }


def _accuracy(bundle: Bundle) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of the variants in the bundle, and of those that were left out."""
    if not any(file.role == "accuracy" for file in bundle.manifest.files):
        return {}, {}
    name = bundle.entry("accuracy").file
    try:
        document = json.loads(bundle.read("accuracy"))
        sections = document["variants"], document.get("left_out", {})
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as exc:
        raise ModelError(
            f"{bundle.path / name}: expected JSON with the section variants, found: "
            f"{type(exc).__name__}: {exc}; build the bundle again"
        ) from exc
    for section in sections:
        if not isinstance(section, dict) or not all(isinstance(v, dict) for v in section.values()):
            raise ModelError(
                f"{bundle.path / name}: expected a section for each variant, found something "
                "else; build the bundle again"
            )
    return sections
