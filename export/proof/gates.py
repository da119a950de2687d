"""What a variant must keep to be packed, and whether it did.

A variant that fails is left out of the bundle and named with the reason; nothing here raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge.model.bundle.manifest import Precision
from edge.model.selftest import MIN_SPREAD_RATIO
from export.proof.agreement import Agreement, Share
from export.proof.verify import Measured, Steadiness


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits on what ``Measured`` tells; None asks for nothing.

    Attributes:
        min_cosine: Of the worst input, for each output that is a vector.
        min_mean_cosine: Over the inputs, likewise.
        max_abs: Largest difference of any number of any output.
        min_spread: Of each output whose references differ.
        min_same_prompt: Share of inputs with the same first choice.
        min_retrieval: Share of inputs that find their own reference.
        min_matched: Share of the float original's detections.
        max_repeat: Largest difference between two answers to the same input.
        max_neighbours: The same, among others and at the same place among copies of itself.
        max_batch: The same, alone and in a batch.
    """

    min_cosine: float | None = None
    min_mean_cosine: float | None = None
    max_abs: float | None = None
    min_spread: float | None = MIN_SPREAD_RATIO
    min_same_prompt: float | None = None
    min_retrieval: float | None = None
    min_matched: float | None = None
    max_repeat: float | None = 1e-6
    max_neighbours: float | None = 1e-3
    max_batch: float | None = 1e-3


# Where the numbers come from. Spread: the device refuses below (``selftest.py``). Repeat: rounding
# of threads that add in another order; ONNX Runtime and OpenVINO on a CPU gave 0.
_FP32 = Gate(
    # Same weights, same arithmetic: what another order of additions leaves. A slip in a graph (a
    # mask, an epsilon, a GELU) costs 1e-3 and more.
    min_cosine=0.9999,
    max_abs=1e-4,
    max_neighbours=1e-4,
    max_batch=1e-4,
    # Not 1: two prompts or frames that are all but equal may change places.
    min_same_prompt=0.99,
    min_retrieval=0.99,
)
_FP16 = replace(
    # 11 bits instead of 24: MiniLM stored as fp16 keeps 0.9999 in its worst of 2185 sentences. Less
    # than 0.999 is an overflow somewhere.
    _FP32,
    min_cosine=0.999,
    max_abs=None,
    max_neighbours=1e-3,
    max_batch=1e-3,
)
_INT8 = Gate(
    # Towers quantized with care keep 0.99 and more in the mean; every operation quantized
    # naively loses 0.08 and must fail.
    min_mean_cosine=0.99,
    # Four times that loss for one odd frame. A whole scene that calibration did not know fails the
    # mean.
    min_cosine=0.96,
    # Three in a hundred choices between prompts, as a rule of undecided frames.
    min_same_prompt=0.97,
    # Not finding itself means that the loss is as large as what tells two scenes apart.
    min_retrieval=0.95,
    # Ranges taken from the batch (dynamic quantization) make a row depend on its neighbours: 5e-3
    # was measured; such a graph must take one row a call.
    max_neighbours=1e-3,
    # A runtime that adds in another order for another batch size tips roundings over: 3.6e-3
    # measured of a sound graph. What rows do to each other is for the limit above to find.
    max_batch=2e-2,
)

_NOTHING: Final = "nothing measured"

# By role and precision.
GATES: Final[Mapping[tuple[str, Precision], Gate]] = {
    ("image", "fp32"): _FP32,
    ("image", "fp16"): _FP16,
    ("image", "int8"): _INT8,
    # A sentence's loss shifts its prompt's margin in every frame, so the worst must be better than
    # a frame's: MiniLM with dynamic INT8 keeps 0.982. No prompts are chosen among by sentences.
    ("text", "fp32"): replace(_FP32, min_same_prompt=None),
    ("text", "fp16"): replace(_FP16, min_same_prompt=None),
    ("text", "int8"): replace(_INT8, min_cosine=0.97, min_same_prompt=None, min_retrieval=0.97),
    ("video", "fp32"): _FP32,
    ("video", "fp16"): _FP16,
    # A clip's choices go through the prompt head, which amplifies what its context lost.
    ("video", "int8"): replace(_INT8, min_same_prompt=0.95),
    # A head's output are the scores themselves; it has no embedding to retrieve by.
    ("head", "fp32"): replace(_FP32, min_retrieval=None),
    ("head", "fp16"): replace(_FP16, min_retrieval=None),
    ("head", "int8"): replace(_INT8, min_same_prompt=0.95, min_retrieval=None),
    # Boxes come in the order of their scores, which near ties change: sets are matched.
    ("detector", "fp32"): Gate(max_abs=1e-4, min_matched=0.99, max_neighbours=1e-4, max_batch=1e-4),
    ("detector", "fp16"): Gate(min_matched=0.95),
    ("detector", "int8"): Gate(min_matched=0.95, max_batch=2e-2),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One limit of a gate, applied.

    Attributes:
        name: The field of ``Gate``.
        limit: Its value.
        found: What was measured; None where it was asked for and not measured.
        passed: Whether it is good enough. Not measured is not.
        text: All of it in words.
    """

    name: str
    limit: float
    found: float | None
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of a gate."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the variant may be packed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """What keeps it out."""
        return tuple(check for check in self.checks if not check.passed)


def judge(measured: Measured, gate: Gate) -> Verdict:
    """Apply each limit that ``gate`` sets."""
    facts = _facts(measured)
    limits = {name: getattr(gate, name) for name in facts}
    return Verdict(
        tuple(
            _check(name, limits[name], *fact)
            for name, fact in facts.items()
            if limits[name] is not None
        )
    )


def share_text(share: Share) -> str:
    """``47 of 49 (95.9 %, 95 % interval 86 to 99 %)``."""
    low, high = (100 * end for end in share.interval)
    return (
        f"{share.count} of {share.total} ({100 * share.value:.1f} %, 95 % interval {low:.0f} to "
        f"{high:.0f} %)"
    )


def _check(name: str, limit: float, what: str, found: float | None, words: str) -> Check:
    bound, passed = "at least", found is not None and found >= limit
    if name.startswith("max_"):
        bound, passed = "at most", found is not None and found <= limit
    return Check(name, limit, found, passed, f"{what}: expected {bound} {limit:g}, found {words}")


# What it is, the number, the number in words.
_Fact = tuple[str, float | None, str]


def _facts(measured: Measured) -> dict[str, _Fact]:
    """What was measured for each field of ``Gate``."""
    outputs = measured.outputs
    cosines = {n: c.cosines for n, c in outputs.items() if c.cosines is not None}
    spreads = {n: c.spread_ratio for n, c in outputs.items() if c.spread_ratio is not None}
    return {
        "min_cosine": _lowest(
            f"cosine to the float original, worst of {measured.inputs}",
            {name: float(rows.min()) for name, rows in cosines.items()},
        ),
        "min_mean_cosine": _lowest(
            f"cosine to the float original, mean of {measured.inputs}",
            {name: float(rows.mean()) for name, rows in cosines.items()},
        ),
        "max_abs": _largest("difference", {n: c.max_abs for n, c in outputs.items()}),
        "min_spread": _lowest("spread of the answers over that of the references", spreads),
        "min_same_prompt": _chosen(measured.same_prompt),
        "min_retrieval": _shared("finds its own reference", measured.finds_itself),
        "min_matched": _shared("detections matched", measured.matched),
        **_steady(measured.steadiness),
    }


def _lowest(what: str, values: Mapping[str, float]) -> _Fact:
    if not values:
        return what, None, _NOTHING
    name = min(values, key=values.__getitem__)
    return what, values[name], f"{values[name]:.6g} ({name})"


def _largest(what: str, values: Mapping[str, float]) -> _Fact:
    if not values:
        return what, None, _NOTHING
    name = max(values, key=values.__getitem__)
    return what, values[name], f"{values[name]:.2g} ({name})"


def _shared(what: str, share: Share | None) -> _Fact:
    if share is None:
        return what, None, _NOTHING
    return what, share.value, share_text(share)


def _chosen(agreement: Agreement | None) -> _Fact:
    what, found, words = _shared(
        "same first choice", None if agreement is None else agreement.share
    )
    if agreement is not None and agreement.worst_lead:
        words += f"; the original preferred its own by {agreement.worst_lead:.3f} at most"
    return what, found, words


def _steady(steadiness: Steadiness | None) -> dict[str, _Fact]:
    differences = {
        "max_repeat": ("asked twice", "repeat"),
        "max_neighbours": ("among other neighbours", "neighbours"),
        "max_batch": ("alone and in a batch", "batch"),
    }
    return {
        name: (f"{what}, difference", *_difference(steadiness, field))
        for name, (what, field) in differences.items()
    }


def _difference(steadiness: Steadiness | None, field: str) -> tuple[float | None, str]:
    if steadiness is None:
        return None, _NOTHING
    found: float | None = getattr(steadiness, field)
    if found is None:
        return 0.0, "none: it takes one input a call"
    return found, f"{found:.2g}"
