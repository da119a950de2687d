"""Makes the JSON document of a run, and the facts of the run that every report begins with."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from benchmarks.measuring.machine import Machine, Memory
from benchmarks.report.sections import ReportSection
from edge.system.redact import redact

SCHEMA = "edge-bench/1"
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class BundleUsed:
    """Bundle that was measured.

    Attributes:
        name: Name of the bundle.
        model: Identifier of the model.
        revision: Revision of the weights.
        hash: Hash of every byte of the bundle.
    """

    name: str
    model: str
    revision: str
    hash: str


@dataclass(frozen=True, slots=True)
class Header:
    """Facts that a reader needs to repeat a run.

    Attributes:
        bench: ``model`` or ``pipeline``.
        at: Time of the run, UTC, ISO 8601.
        commit: Commit of the checkout, with ``+`` if files differ; None outside a checkout.
        machine: Machine that it ran on.
        load_before: Load average of 1, 5 and 15 minutes before the run: other work on the machine.
        load_after: Load average after the run.
        versions: Versions by package.
        bundle: Bundle that was measured.
        memory: Memory of the bench's own process, at the end.
    """

    bench: str
    at: str
    commit: str | None
    machine: Machine
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]
    versions: dict[str, str]
    bundle: BundleUsed
    memory: Memory


def to_json(header: Header, settings: Any, results: dict[str, Any]) -> str:
    """Return the JSON document; passwords are removed from it.

    Args:
        header: Facts of the run.
        settings: Settings of the bench, a dataclass.
        results: Results by name, dataclasses.
    """
    document = {
        "schema": SCHEMA,
        **asdict(header),
        "settings": asdict(settings),
        "results": {
            name: asdict(result) if result is not None else None for name, result in results.items()
        },
    }
    return redact(json.dumps(_rounded(document), indent=1, allow_nan=False))


def head(header: Header, facts: dict[str, str]) -> ReportSection:
    """Return the table about the run: the facts of every run, then ``facts``."""
    machine, memory = header.machine, header.memory
    governor = f", governor {machine.governor}" if machine.governor else ""
    lines = {
        "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MB{governor}",
        "system": f"{machine.kernel} {machine.architecture}",
        "load": f"{_words(header.load_before)} before, {_words(header.load_after)} after",
        "versions": ", ".join(f"{name} {version}" for name, version in header.versions.items()),
        "bundle": f"{header.bundle.name} {header.bundle.revision}, {header.bundle.hash[:12]}",
        "commit": header.commit or "not in a checkout",
        "at": header.at,
        **facts,
        "memory": f"{memory.now_mb:.0f} MB now, {memory.peak_mb:.0f} MB at most",
    }
    return ReportSection(f"edge-bench {header.bench}", ("", ""), tuple(lines.items()))


def _words(load: tuple[float, float, float]) -> str:
    return " ".join(f"{value:.2f}" for value in load)


def _rounded(value: Any) -> Any:
    """Return plain values, with floats rounded to the precision of a clock."""
    match value:
        case float():
            return round(value, _DIGITS)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case BaseModel():
            return value.model_dump()
    return value
