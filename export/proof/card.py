"""Holds the accuracy card: what each variant lost, as records and as ``accuracy.json``.

docs/bundle-format.md describes the file. ``export.proof.card_text`` and ``export.proof.card_plot``
show the card to people.
"""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from edge.model.bundle.manifest import ModelInfo, Precision
from export.proof.agreement import Agreement, Share
from export.proof.gates import Verdict
from export.proof.own_pixels import PictureCheck
from export.proof.verify import Closeness, Measured

SCHEMA: Final = "edge-accuracy/1"

# Limits of every card: what it does not say.
LIMITS: Final = (
    (
        "Whether the model is right. It is agreement with the float original: where that is wrong, "
        "a variant that agrees is wrong too."
    ),
    (
        "What happens on other inputs. The intervals take inputs for independent; frames of one "
        "video are not, so for those they are too narrow."
    ),
    (
        "What another runtime, version or processor gives. The device repeats a part of this with "
        "the bundle's golden inputs before it uses a graph (`edge check`)."
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class CardVariant:
    """One graph, measured and judged.

    Attributes:
        file: Name of its file in the bundle.
        role: Role of the graph.
        precision: Precision of the graph.
        runtime: Runtime that ran it, such as ``onnxruntime 1.30 on CPU``.
        inputs: Kind of the inputs that it was measured on, in the plural: ``frames``.
        measured: Measurements.
        verdict: Verdict on the measurements.
        columns: Further numbers of this family by name.
    """

    file: str
    role: str
    precision: Precision
    runtime: str
    inputs: str
    measured: Measured
    verdict: Verdict
    columns: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pupil:
    """A variant of a distilled model, or its teacher, compared with the teacher.

    Attributes:
        name: Name such as ``student int8, QAT``.
        mean_cosine: Mean cosine to the teacher's embedding of the same picture.
        min_cosine: Worst cosine to the teacher's embedding of the same picture.
        centred_cosine: Mean cosine after the teacher's mean embedding is subtracted from both.
        same_choice: Share of pictures with the teacher's first choice among the prompts.
        retrieval: Share of pictures that find the teacher's embedding of themselves.
        gmacs: Multiply-accumulates of a picture, in units of 10^9.
        megabytes: Size of the graph, MB.
        packed: Whether the bundle holds it.
    """

    name: str
    mean_cosine: float
    min_cosine: float
    centred_cosine: float
    same_choice: Share | None
    retrieval: Share | None
    gmacs: float
    megabytes: float
    packed: bool


@dataclass(frozen=True, slots=True)
class Environment:
    """Machine and software of a measurement.

    Attributes:
        cpu: Name of the processor.
        versions: Version of each package by name.
    """

    cpu: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """Contents of a card.

    Attributes:
        name: Name of the bundle.
        model: Facts of the model, as in the manifest.
        variants: Measured variants; their verdict says whether they are packed or left out.
        inputs: Description of the inputs, by ``CardVariant.inputs``.
        conditions: Machine and software of the measurement.
        refused: Reason for each variant that gave no numbers to judge, by file.
        prompts: Sentences that inputs chose among.
        threshold: Margin from which a frame counts for an alert; None where there are no margins.
        limits: Limits of this card, beside those of every card.
        pupils: Teacher and student of a distilled model, side by side.
        pictures: Comparison with the pictures of the checkpoint's own processor; None where there
            was none.
    """

    name: str
    model: ModelInfo
    variants: Sequence[CardVariant]
    inputs: Mapping[str, str]
    conditions: Environment
    refused: Mapping[str, str] = field(default_factory=dict)
    prompts: Sequence[str] = ()
    threshold: float | None = None
    limits: Sequence[str] = ()
    pupils: Sequence[Pupil] = ()
    pictures: PictureCheck | None = None

    @property
    def packed(self) -> list[CardVariant]:
        """Variants that go into the bundle."""
        return [variant for variant in self.variants if variant.verdict.passed]

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Reasons for each variant that the bundle leaves out, by file."""
        failed = {
            variant.file: [check.text for check in variant.verdict.failed]
            for variant in self.variants
            if not variant.verdict.passed
        }
        return failed | {file: [reason] for file, reason in self.refused.items()}


def these_conditions(*packages: str) -> Environment:
    """Return this machine and the versions of ``packages``, which took part in the numbers."""
    versions = {package: metadata.version(package) for package in packages}
    return Environment(_cpu(), {"python": platform.python_version()} | versions)


def accuracy_json(card: Card) -> bytes:
    """Return ``accuracy.json``."""
    reasons = card.left_out
    rows = {variant.file: _row(variant) for variant in card.variants}
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": {
            "name": card.name,
            **card.model.model_dump(mode="json", exclude={"origins"}, exclude_none=True),
        },
        "variants": {file: row for file, row in rows.items() if file not in reasons},
        "left_out": {
            file: {"reasons": texts, **rows.get(file, {})} for file, texts in reasons.items()
        },
        **({"distilled": [_pupil(pupil) for pupil in card.pupils]} if card.pupils else {}),
        **({} if card.pictures is None else {"pictures": _pictures(card.pictures)}),
        "measured": {
            "inputs": dict(card.inputs),
            "prompts": list(card.prompts),
            "threshold": card.threshold,
            "cpu": card.conditions.cpu,
            "versions": dict(card.conditions.versions),
        },
        "limits": [*card.limits, *LIMITS],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _pictures(check: PictureCheck) -> dict[str, Any]:
    return {
        "processor": check.processor,
        "largest_difference": _short(check.as_it_is),
        "mean_difference_resized": _short(check.resized),
    }


def _row(variant: CardVariant) -> dict[str, Any]:
    measured = variant.measured
    main = _closeness(measured.main)
    steadiness = measured.steadiness
    row = {
        "role": variant.role,
        "precision": variant.precision,
        "runtime": variant.runtime,
        "inputs": f"{measured.inputs} {variant.inputs}",
        "mean_cosine": main.get("mean_cosine"),
        "min_cosine": main.get("min_cosine"),
        **variant.columns,
        "outputs": {name: _closeness(closeness) for name, closeness in measured.outputs.items()},
        "same_prompt": _agreement(measured.same_prompt),
        "alerts": _share(measured.alerts),
        "retrieval": _share(measured.finds_itself),
        "matched": _share(measured.matched),
        "repeat_difference": steadiness and _short(steadiness.repeat),
        "neighbour_difference": steadiness and _short(steadiness.neighbours),
        "batch_difference": steadiness and _short(steadiness.batch),
        "checks": [
            {**asdict(check), "found": _short(check.found)} for check in variant.verdict.checks
        ],
    }
    return {key: value for key, value in row.items() if value is not None}


def _pupil(pupil: Pupil) -> dict[str, Any]:
    numbers = {
        name: _short(getattr(pupil, name))
        for name in ("mean_cosine", "min_cosine", "centred_cosine", "gmacs", "megabytes")
    }
    return {
        "name": pupil.name,
        **numbers,
        "same_choice": _share(pupil.same_choice),
        "retrieval": _share(pupil.retrieval),
        "packed": pupil.packed,
    }


def _closeness(closeness: Closeness) -> dict[str, float]:
    numbers = {"max_abs": closeness.max_abs, "spread_ratio": closeness.spread_ratio}
    if closeness.cosines is not None:
        numbers |= {
            "mean_cosine": float(closeness.cosines.mean()),
            "min_cosine": float(closeness.cosines.min()),
        }
    return {name: short for name, value in numbers.items() if (short := _short(value)) is not None}


def _agreement(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    return {**(_share(agreement.share) or {}), "worst_lead": _short(agreement.worst_lead)}


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    low, high = share.interval
    return {"count": share.count, "total": share.total, "low": _short(low), "high": _short(high)}


def _short(number: float | None) -> float | None:
    """Round to five decimals; to three digits in all below 0.01."""
    if number is None:
        return None
    return round(number, 5) if abs(number) >= 0.01 else float(f"{number:.2e}")


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named[1] if named else platform.machine()
