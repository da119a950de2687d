"""Writes ``accuracy.md``: the card as a text that a person reads in a minute."""

from collections.abc import Iterator, Mapping, Sequence

from export.proof.card import LIMITS, Card, CardVariant, Pupil
from export.proof.gates import Check, share_text

# Name of each check in a table.
_CHECKS: Mapping[str, str] = {
    "min_cosine": "worst cosine",
    "min_mean_cosine": "mean cosine",
    "max_abs": "largest difference",
    "min_spread": "spread",
    "min_same_prompt": "same first choice",
    "min_retrieval": "retrieval",
    "min_matched": "detections matched",
    "max_repeat": "asked twice",
    "max_neighbours": "among other neighbours",
    "max_batch": "alone and in a batch",
}
_COLUMNS = (
    "file",
    "measured on",
    "cosine mean",
    "worst",
    "same choice",
    "same alerts",
    "retrieval",
    "detections",
    "spread",
)


def accuracy_card(card: Card, picture: str | None = None) -> bytes:
    """Return ``accuracy.md``.

    Args:
        card: The card.
        picture: File name of the picture by ``card_plot.accuracy_png``; None where there is none.
    """
    return ("\n\n".join(_sections(card, picture)) + "\n").encode()


def _sections(card: Card, picture: str | None) -> Iterator[str]:
    model = card.model
    yield f"# What the variants of `{card.name}` lost"
    yield (
        f"{model.id} (family {model.family}, revision `{model.revision}`). Each variant and the "
        "float original got the same inputs; here is how their answers differ."
    )
    yield "\n".join(_in_words(variant) for variant in card.packed)
    if card.pupils:
        yield "## Student and teacher"
        yield (
            "The same held-out pictures, each model through its own preprocessing; cosines are to "
            "the teacher's embedding."
        )
        yield _pupils(card.pupils)
    if picture is not None:
        yield f"![Left: loss of each input. Right: margins, original and variant.]({picture})"
    yield "## Left out of the bundle"
    yield "\n".join(_left_out(card))
    yield "## In numbers"
    yield _numbers(card.variants)
    yield "## Against the gates"
    yield _gates(card.variants)
    yield "## How it was measured"
    yield "\n".join(f"* {line}" for line in _conditions(card))
    yield "## What this does not say"
    yield "\n".join(f"* {limit}" for limit in (*card.limits, *LIMITS))


def _in_words(variant: CardVariant) -> str:
    measured = variant.measured
    what = f"{measured.inputs} {variant.inputs}"
    sentences = []
    cosines = measured.main.cosines
    if cosines is not None:
        sentences.append(
            f"cosine to the original {cosines.mean():.4f} on average, {cosines.min():.4f} for the "
            f"worst of {what}."
        )
    if measured.same_prompt is not None:
        same = measured.same_prompt
        sentences.append(f"The same first choice for {share_text(same.share)}.")
        if same.worst_lead:
            lead = f"{same.worst_lead:.3f}"
            sentences.append(f"Where not, the original preferred its own by {lead} at most.")
    if measured.alerts is not None:
        sentences.append(f"Alerts in common: {share_text(measured.alerts)}.")
    if measured.matched is not None:
        sentences.append(f"Detections kept: {share_text(measured.matched)}.")
    return f"* **`{variant.file}`**: {' '.join(sentences)}"


def _left_out(card: Card) -> Iterator[str]:
    if not card.left_out:
        yield "Nothing."
    for file, reasons in card.left_out.items():
        yield f"* **`{file}`**"
        yield from (f"    * {reason}" for reason in reasons)


def _numbers(variants: Sequence[CardVariant]) -> str:
    columns = list(dict.fromkeys(name for variant in variants for name in variant.columns))
    head = [*_COLUMNS, *(name.replace("_", " ") for name in columns)]
    return _table(head, [_cells(variant, columns) for variant in variants])


def _cells(variant: CardVariant, columns: Sequence[str]) -> list[str]:
    measured = variant.measured
    main = measured.main
    same = None if measured.same_prompt is None else measured.same_prompt.share
    shares = (same, measured.alerts, measured.finds_itself, measured.matched)
    return [
        variant.file,
        f"{measured.inputs} {variant.inputs}, {variant.runtime}",
        _number(None if main.cosines is None else float(main.cosines.mean())),
        _number(None if main.cosines is None else float(main.cosines.min())),
        *("" if share is None else f"{share.count}/{share.total}" for share in shares),
        _number(main.spread_ratio),
        *(_number(variant.columns.get(name)) for name in columns),
    ]


def _pupils(pupils: Sequence[Pupil]) -> str:
    head = ["model", "cosine mean", "worst", "centred", "same choice", "retrieval", "GMAC", "MB"]
    rows = [
        [
            f"{pupil.name}{'' if pupil.packed else ' (not in the bundle)'}",
            *map(_number, (pupil.mean_cosine, pupil.min_cosine, pupil.centred_cosine)),
            *("" if s is None else share_text(s) for s in (pupil.same_choice, pupil.retrieval)),
            f"{pupil.gmacs:.3f}",
            f"{pupil.megabytes:.1f}",
        ]
        for pupil in pupils
    ]
    return _table(head, rows)


def _gates(variants: Sequence[CardVariant]) -> str:
    checks = [{check.name: check for check in v.verdict.checks} for v in variants]
    names = [name for name in _CHECKS if any(name in found for found in checks)]
    rows = [[_CHECKS[name], *(_gate(found.get(name)) for found in checks)] for name in names]
    return _table(["found (limit)", *(variant.file for variant in variants)], rows)


def _gate(check: Check | None) -> str:
    if check is None:
        return ""
    bound = "at most" if check.name.startswith("max_") else "at least"
    limit = f"({bound} {check.limit:g})"
    if check.found is None:
        return f"**not measured {limit} failed**"
    if not check.decided:
        return f"{check.found:.6g} {limit} too few inputs to decide"
    # A number that failed by little must not look like the limit.
    return f"{check.found:.4g} {limit}" if check.passed else f"**{check.found:.6g} {limit} failed**"


def _conditions(card: Card) -> Iterator[str]:
    if card.pictures is not None:
        check = card.pictures
        yield (
            f"pictures: as those of the checkpoint's own {check.processor}; largest difference of "
            f"a pixel {check.as_it_is:.2g} of 255 levels, on average {check.resized:.2g} where a "
            "picture is resized (another filter)"
        )
    asked = {variant.inputs for variant in card.variants}
    yield from (f"{name}: {what}" for name, what in card.inputs.items() if name in asked)
    if card.prompts:
        yield f"first choice among: {', '.join(card.prompts)}"
    if card.threshold is not None:
        yield (
            f"an alert: a margin of {card.threshold:g} or more; those in common are of all that "
            "the variant or the original gives"
        )
    yield "retrieval: an answer finds its own reference among those of all inputs"
    yield "spread: mean distance of two answers, over that of two references"
    yield "intervals: Wilson's, 95 %"
    versions = ", ".join(f"{name} {version}" for name, version in card.conditions.versions.items())
    yield f"on {card.conditions.cpu}; {versions}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table without the columns that are empty in every row."""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [
        [head[i] for i in used],
        ["---"] * len(used),
        *([row[i] for i in used] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
