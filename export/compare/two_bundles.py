"""Compares two bundles: what the smaller one saves, and how far it agrees with the other.

It is made for a student that was distilled from a teacher. Bundle A is the reference: its most
exact variant gives the right embedding of a picture, and its text graph that of a sentence. B is
right where it agrees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from edge.errors import ConfigError
from edge.model.bundle.read import Bundle
from edge.model.variants import Variant
from export.compare.costs import Costs, Runs, measure, runs_of
from export.compare.likeness import (
    Likeness,
    choose_pictures,
    embeddings,
    likeness,
    prompts_of,
    unreadable,
)
from export.compare.rounds import RoundsSummary
from export.compare.settings import Settings
from export.proof.agreement import Share

NAMES: Final = ("A", "B")


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """Agreement of two bundles on the same pictures.

    Attributes:
        reference: Variant of A that all others are compared with.
        pictures: Number of pictures.
        seen: Number of frames that they were chosen from.
        skipped: Reason for each file that could not be read.
        sentences: Sentences that pictures chose among.
        threshold: Margin from which a picture counts for an alert.
        rows: Likeness by bundle and variant; A's own INT8 shows what quantization alone costs.
    """

    reference: str
    pictures: int
    seen: int
    skipped: Mapping[Path, str]
    sentences: tuple[str, ...]
    threshold: float
    rows: Mapping[str, Likeness]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Result of a comparison of two bundles.

    Attributes:
        bundles: The bundles by the names A and B.
        costs: Costs by the names A and B.
        ratios: Time of A over that of B, for each variant that both have.
        agreed: Agreement; None where the embeddings have different sizes.
        notes: Remarks for the reader, a sentence each.
    """

    bundles: Mapping[str, Bundle]
    costs: Mapping[str, Costs]
    ratios: Mapping[str, RoundsSummary]
    agreed: Agreed | None
    notes: tuple[str, ...]


def costs_only(a: Bundle, b: Bundle) -> str | None:
    """Return why the embeddings cannot be compared, so that only costs are; None where they can.

    Raises:
        ConfigError: A bundle is not of class F.
    """
    for bundle in (a, b):
        manifest = bundle.manifest
        if manifest.frame_class != "F":
            raise ConfigError(
                f"{bundle.path}: expected a bundle of class F (an image and a text graph), found "
                f"class {manifest.frame_class} ({', '.join(manifest.graphs)}); compare two "
                "bundles of class F"
            )
    if a.manifest.dim == b.manifest.dim:
        return None
    return (
        f"embeddings: A's have {a.manifest.dim} numbers, B's {b.manifest.dim}; they are of "
        "different spaces, so only costs are compared"
    )


def compare(
    a: Bundle, b: Bundle, files: Sequence[Path], settings: Settings, progress: Progress
) -> Compared:
    """Compare B's embeddings with A's, then time both in turns.

    Args:
        a: The reference.
        b: Bundle that is to replace it.
        files: Pictures and videos; they are not read where only costs are compared.
        settings: Settings of the comparison.
        progress: Display of the progress.

    Raises:
        ConfigError: A bundle is not of class F, there are too few sentences, or one cannot be
            encoded.
        ModelError: A bundle is damaged or fails its self-test, or the pictures are too few.
        EngineUnavailable: No runtime is installed.
        SourceError: A file can no longer be read.
        InferenceError: An engine failed.
    """
    reason = costs_only(a, b)
    if len(settings.sentences) < 2:
        raise ConfigError(
            f"expected two sentences or more to choose among, found {len(settings.sentences)}; "
            "repeat --prompt, or leave it out for two dozen"
        )
    bundles = dict(zip(NAMES, (a, b), strict=True))
    runs = {name: runs_of(bundle) for name, bundle in bundles.items()}
    task = progress.add_task("pictures", total=None)
    agreed = None if reason else _agree(bundles, runs, files, settings)
    turns = settings.rounds * sum(len(one.sound) for one in runs.values())
    progress.update(task, description="timing", total=turns)
    costs, ratios = measure(
        bundles, runs, settings.rounds, settings.turn_s, lambda: progress.advance(task)
    )
    notes = [] if reason is None else [reason]
    if agreed is not None:
        notes += _reservations(a, b, agreed)
    for name in NAMES:
        notes += [f"{name} {one} is not used: {why}" for one, why in runs[name].failures.items()]
        if (uncounted := costs[name].uncounted) is not None:
            notes.append(f"{name}'s work is not counted: {uncounted}")
    return Compared(bundles, costs, ratios, agreed, tuple(notes))


def _agree(
    bundles: Mapping[str, Bundle],
    runs: Mapping[str, Runs],
    files: Sequence[Path],
    settings: Settings,
) -> Agreed:
    a = bundles["A"]
    reference = runs["A"].sound[0]
    # Sentences come before the pictures, so that one that cannot be encoded is reported at once.
    prompts = prompts_of(a, reference.kind, settings.sentences)
    pictures = choose_pictures(files, a.manifest.image, settings.fps, settings.pictures)
    found = {
        f"{name} {variant}": rows
        for name, bundle in bundles.items()
        for variant, rows in embeddings(bundle, _asked(runs[name]), pictures).items()
    }
    wanted = found.pop(f"A {reference}")
    return Agreed(
        reference=str(reference),
        pictures=pictures.count,
        seen=pictures.seen,
        skipped=pictures.skipped,
        sentences=settings.sentences,
        threshold=prompts.threshold,
        rows={name: likeness(rows, wanted, prompts) for name, rows in found.items()},
    )


def _asked(runs: Runs) -> list[Variant]:
    """Return one variant per precision: precisions differ more than runtimes do."""
    firsts: dict[str, Variant] = {}
    for variant in runs.sound:
        firsts.setdefault(variant.precision, variant)
    return list(firsts.values())


def _reservations(a: Bundle, b: Bundle, agreed: Agreed) -> list[str]:
    notes = unreadable(agreed.skipped)
    if _sentence_side(a) != _sentence_side(b):
        notes.append(
            "sentences are A's here; on a device B's own text graph, templates or background "
            "would say what they mean, and those differ"
        )
    return notes


def _sentence_side(bundle: Bundle) -> tuple[object, ...]:
    """Return all that decides a sentence's embedding."""
    graph = bundle.entry("text", bundle.precisions("text")[0], "onnx")
    return graph.sha256, bundle.entry("tokenizer").sha256, bundle.manifest.text


def document(compared: Compared) -> dict[str, Any]:
    """Return the whole result as JSON values, for ``--json``."""
    agreed = compared.agreed
    return {
        **{name.lower(): _bundle_facts(compared, name) for name in NAMES},
        "times_as_long": {name: _summary(one) for name, one in compared.ratios.items()},
        "agreement": None
        if agreed is None
        else {
            "reference": f"A {agreed.reference}",
            "pictures": agreed.pictures,
            "seen": agreed.seen,
            "skipped": {str(file): why for file, why in agreed.skipped.items()},
            "sentences": agreed.sentences,
            "threshold": agreed.threshold,
            "variants": {name: _likeness(one) for name, one in agreed.rows.items()},
        },
        "notes": compared.notes,
    }


def _bundle_facts(compared: Compared, name: str) -> dict[str, Any]:
    bundle, costs = compared.bundles[name], compared.costs[name]
    return {
        "path": str(bundle.path),
        "hash": bundle.hash,
        "macs": costs.work and costs.work.macs,
        "parameters": costs.work and costs.work.parameters,
        "image_bytes": dict(costs.sizes),
        "bundle_bytes": costs.total,
        "ms": {variant: _summary(one) for variant, one in costs.ms.items()},
    }


def _likeness(one: Likeness) -> dict[str, Any]:
    measured = one.measured
    chosen = measured.same_prompt
    return {
        "mean_cosine": float(one.cosines.mean()),
        "min_cosine": float(one.cosines.min()),
        "mean_centred_cosine": float(one.centred.mean()),
        "min_centred_cosine": float(one.centred.min()),
        "same_prompt": _share(None if chosen is None else chosen.share),
        "finds_itself": _share(measured.finds_itself),
        "alerts": _share(measured.alerts),
    }


def _share(share: Share | None) -> dict[str, float] | None:
    if share is None:
        return None
    low, high = share.interval
    return {"count": share.count, "total": share.total, "low": low, "high": high}


def _summary(one: RoundsSummary) -> dict[str, float]:
    return {"median": one.median, "low": one.low, "high": one.high}
