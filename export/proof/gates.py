"""Decides whether a variant may be packed: limits on what it may lose, and the verdict.

A variant that fails is left out of the bundle and named with the reason; this module raises no
errors.

A share (so many inputs of so many) fails where its whole 95 % interval lies below the limit. Where
the limit lies inside the interval, the inputs are too few to decide: the share does not fail, and
the check says so. The more inputs, the less a variant may lie below the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge.model.bundle.manifest import Precision
from edge.model.selftest import MIN_SPREAD_RATIO
from export.proof.agreement import Agreement, Share
from export.proof.answers import Steadiness
from export.proof.verify import Measured


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits on the numbers of ``Measured``; None sets no limit.

    Attributes:
        min_cosine: Cosine of the worst input, for each output that is a vector.
        min_mean_cosine: Mean cosine over the inputs, for each output that is a vector.
        max_abs: Largest difference of any number of any output.
        min_spread: Spread of the answers over that of the references, for each output whose
            references differ.
        min_same_prompt: Share of inputs with the same first choice, 0..1.
        min_retrieval: Share of inputs that find their own reference, 0..1.
        min_matched: Share of the float original's detections that were found again, 0..1.
        max_repeat: Largest difference between two answers to the same input.
        max_neighbours: Largest difference between the answers to one input among other inputs and,
            at the same place, among copies of itself.
        max_batch: Largest difference between the answers to one input alone and in a batch.
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


# Sources of the default limits. Spread: the device refuses a graph below it (``selftest.py``).
# Repeat: threads that add in another order round otherwise; ONNX Runtime and OpenVINO on a CPU gave
# 0.
_FP32 = Gate(
    # Weights and arithmetic are the same, so only another order of additions makes a difference. A
    # mistake in a graph (a mask, an epsilon, a GELU) costs 1e-3 and more.
    min_cosine=0.9999,
    max_abs=1e-4,
    max_neighbours=1e-4,
    max_batch=1e-4,
    # Below 1, because two prompts or frames that are almost equal may change places.
    min_same_prompt=0.99,
    min_retrieval=0.99,
)
_FP16 = replace(
    # Numbers have 11 bits instead of 24: MiniLM stored as fp16 keeps 0.9999 for the worst of 2185
    # sentences. Less than 0.999 means an overflow somewhere.
    _FP32,
    min_cosine=0.999,
    max_abs=None,
    max_neighbours=1e-3,
    max_batch=1e-3,
)
_INT8 = Gate(
    # Towers that are quantized with care keep a mean of 0.99 and more. A graph with every operation
    # quantized naively loses 0.08 and must fail.
    min_mean_cosine=0.99,
    # Four times that loss, for one odd frame. A whole scene that calibration did not know fails the
    # mean.
    min_cosine=0.96,
    # Three in a hundred choices between prompts may differ; most of them are of undecided frames.
    min_same_prompt=0.97,
    # An answer that does not find itself lost as much as two scenes differ.
    min_retrieval=0.95,
    # Ranges taken from the batch (dynamic quantization) make a row depend on its neighbours: 5e-3
    # was measured. Such a graph must take one row per call.
    max_neighbours=1e-3,
    # A runtime may add in another order for another batch size, which changes roundings: 3.6e-3 was
    # measured of a sound graph. The limit above finds what rows do to each other.
    max_batch=2e-2,
)

_NOTHING: Final = "nothing measured"

# Gate of each graph, by role and precision.
GATES: Final[Mapping[tuple[str, Precision], Gate]] = {
    ("image", "fp32"): _FP32,
    ("image", "fp16"): _FP16,
    ("image", "int8"): _INT8,
    # The loss of a sentence shifts its prompt's margin in every frame, so its worst cosine must be
    # better than a frame's: MiniLM with dynamic INT8 keeps 0.982. Sentences choose among no
    # prompts.
    ("text", "fp32"): replace(_FP32, min_same_prompt=None),
    ("text", "fp16"): replace(_FP16, min_same_prompt=None),
    ("text", "int8"): replace(_INT8, min_cosine=0.97, min_same_prompt=None, min_retrieval=0.97),
    ("video", "fp32"): _FP32,
    ("video", "fp16"): _FP16,
    # A clip's choices go through the head, which amplifies the loss of the context.
    ("video", "int8"): replace(_INT8, min_same_prompt=0.95),
    # A head gives the scores themselves; it has no embedding to retrieve by.
    ("head", "fp32"): replace(_FP32, min_retrieval=None),
    ("head", "fp16"): replace(_FP16, min_retrieval=None),
    ("head", "int8"): replace(_INT8, min_same_prompt=0.95, min_retrieval=None),
    # Boxes come in the order of their scores, which near ties change, so sets are matched.
    ("detector", "fp32"): Gate(max_abs=1e-4, min_matched=0.99, max_neighbours=1e-4, max_batch=1e-4),
    ("detector", "fp16"): Gate(min_matched=0.95),
    ("detector", "int8"): Gate(min_matched=0.95, max_batch=2e-2),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One limit of a gate, applied.

    Attributes:
        name: Field of ``Gate``.
        limit: Value of that field.
        found: Number that was measured; None where it was asked for and not measured.
        passed: Whether the variant keeps the limit, or a share has too few inputs to decide. A
            number that was not measured does not pass.
        text: The whole check in words.
    """

    name: str
    limit: float
    found: float | None
    passed: bool
    text: str

    @property
    def decided(self) -> bool:
        """Whether the inputs were enough to decide."""
        return not self.passed or self.found is None or _keeps(self.name, self.found, self.limit)


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
        """Checks that keep the variant out of the bundle."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def undecided(self) -> tuple[Check, ...]:
        """Checks of shares with too few inputs to decide."""
        return tuple(check for check in self.checks if not check.decided)


def judge(measured: Measured, gate: Gate) -> Verdict:
    """Apply each limit that ``gate`` sets."""
    facts = _facts(measured)
    limits = {name: getattr(gate, name) for name in facts}
    return Verdict(
        tuple(
            _check(name, limits[name], fact)
            for name, fact in facts.items()
            if limits[name] is not None
        )
    )


def share_text(share: Share) -> str:
    """Return a share in words: ``47 of 49 (95.9 %, 95 % interval 86 to 99 %)``."""
    low, high = (100 * end for end in share.interval)
    return (
        f"{share.count} of {share.total} ({100 * share.value:.1f} %, 95 % interval {low:.0f} to "
        f"{high:.0f} %)"
    )


@dataclass(frozen=True, slots=True)
class _Fact:
    """Measurement for one field of ``Gate``.

    Attributes:
        what: Name of the number for people.
        found: The number; None where nothing was measured.
        words: The number in words.
        best: Upper end of a share's interval; None for a number that is no share.
    """

    what: str
    found: float | None
    words: str
    best: float | None = None


def _keeps(name: str, found: float, limit: float) -> bool:
    return found <= limit if name.startswith("max_") else found >= limit


def _check(name: str, limit: float, fact: _Fact) -> Check:
    passed = fact.found is not None and _keeps(name, fact.found, limit)
    bound = "at most" if name.startswith("max_") else "at least"
    text = f"{fact.what}: expected {bound} {limit:g}, found {fact.words}"
    if not passed and fact.best is not None and _keeps(name, fact.best, limit):
        passed, text = True, f"{text}; too few inputs to decide"
    return Check(name, limit, fact.found, passed, text)


def _facts(measured: Measured) -> dict[str, _Fact]:
    """Return the measurement for each field of ``Gate``."""
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
        return _Fact(what, None, _NOTHING)
    name = min(values, key=values.__getitem__)
    return _Fact(what, values[name], f"{values[name]:.6g} ({name})")


def _largest(what: str, values: Mapping[str, float]) -> _Fact:
    if not values:
        return _Fact(what, None, _NOTHING)
    name = max(values, key=values.__getitem__)
    return _Fact(what, values[name], f"{values[name]:.2g} ({name})")


def _shared(what: str, share: Share | None) -> _Fact:
    if share is None:
        return _Fact(what, None, _NOTHING)
    return _Fact(what, share.value, share_text(share), share.interval[1])


def _chosen(agreement: Agreement | None) -> _Fact:
    fact = _shared("same first choice", None if agreement is None else agreement.share)
    if agreement is not None and agreement.worst_lead:
        lead = f"the original preferred its own by {agreement.worst_lead:.3f} at most"
        fact = replace(fact, words=f"{fact.words}; {lead}")
    return fact


def _steady(steadiness: Steadiness | None) -> dict[str, _Fact]:
    differences = {
        "max_repeat": ("asked twice", "repeat"),
        "max_neighbours": ("among other neighbours", "neighbours"),
        "max_batch": ("alone and in a batch", "batch"),
    }
    return {
        name: _Fact(f"{what}, difference", *_difference(steadiness, field))
        for name, (what, field) in differences.items()
    }


def _difference(steadiness: Steadiness | None, field: str) -> tuple[float | None, str]:
    if steadiness is None:
        return None, _NOTHING
    found: float | None = getattr(steadiness, field)
    if found is None:
        return 0.0, "none: it takes one input a call"
    return found, f"{found:.2g}"
