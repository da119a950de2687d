"""Every gate with something that passes and something that does not."""

import re
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from edge.model.bundle.manifest import Precision
from edge.model.selftest import MIN_SPREAD_RATIO
from export.proof.agreement import Agreement, Share
from export.proof.answers import Steadiness
from export.proof.gates import GATES, Gate, judge, share_text
from export.proof.verify import Closeness, Measured, compare

GOOD = Measured(
    inputs=64,
    outputs={"embedding": Closeness(2e-5, np.linspace(0.99995, 1, 64), 0.99)},
    same_prompt=Agreement(Share(64, 64), 0.0),
    finds_itself=Share(64, 64),
    matched=Share(120, 121),
    steadiness=Steadiness(0.0, 0.0, 1e-6),
)


def close(**changes: Any) -> Measured:
    output = replace(GOOD.outputs["embedding"], **changes)
    return replace(GOOD, outputs={"embedding": output})


WORST = np.where(np.arange(64) == 9, 0.9, 1.0)
EVERYWHERE = np.full(64, 0.985)
# One limit after the other: a gate that sets it alone, what fails it, and how that is said.
FAILURES = {
    "min_cosine": (0.96, close(cosines=WORST), "worst of 64: expected at least 0.96, found 0.9 "),
    "min_mean_cosine": (0.99, close(cosines=EVERYWHERE), "mean of 64: .* found 0.985 "),
    "max_abs": (1e-4, close(max_abs=3e-4), "difference: expected at most 0.0001, found 0.0003"),
    "min_spread": (0.5, close(spread_ratio=0.2), "spread .* found 0.2 "),
    "min_same_prompt": (
        0.97,
        replace(GOOD, same_prompt=Agreement(Share(56, 64), 0.031)),
        r"found 56 of 64 \(87.5 %, 95 % interval 77 to 94 %\); the original preferred its own by 0.031",
    ),
    "min_retrieval": (0.95, replace(GOOD, finds_itself=Share(50, 64)), "found 50 of 64"),
    "min_matched": (0.95, replace(GOOD, matched=Share(90, 121)), "detections .* found 90 of 121"),
    "max_repeat": (1e-6, replace(GOOD, steadiness=Steadiness(1e-3, 0, 0)), "twice.* found 0.001"),
    "max_neighbours": (
        1e-3,
        replace(GOOD, steadiness=Steadiness(0, 5e-3, 0)),
        "neighbours.* found 0.005",
    ),
    "max_batch": (1e-3, replace(GOOD, steadiness=Steadiness(0, 0, 5e-3)), "batch.* found 0.005"),
}
NO_LIMITS = Gate(**dict.fromkeys(field.name for field in fields(Gate)))


def test_every_limit_of_a_gate_is_tried_here() -> None:
    assert FAILURES.keys() == {field.name for field in fields(Gate)}


@pytest.mark.parametrize("name", FAILURES)
def test_a_limit_lets_the_good_one_pass_and_names_the_bad_one(name: str) -> None:
    limit, bad, words = FAILURES[name]
    gate = replace(NO_LIMITS, **{name: limit})
    assert judge(GOOD, gate).passed
    verdict = judge(bad, gate)
    assert not verdict.passed
    (check,) = verdict.failed
    assert (check.name, check.limit) == (name, limit)
    assert re.search(words, check.text), check.text
    others = replace(gate, **{name: None})
    assert judge(bad, others).checks == ()


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_asked_for_and_not_measured_does_not_pass(name: str) -> None:
    unmeasured = Measured(64, {"coverage": Closeness(np.inf, None, None)})
    gate = replace(NO_LIMITS, **{name: FAILURES[name][0]})
    verdict = judge(unmeasured, gate)
    assert not verdict.passed
    if name != "max_abs":
        assert "nothing measured" in verdict.failed[0].text
        assert verdict.failed[0].found is None


def test_a_number_that_is_exactly_the_limit_passes() -> None:
    assert judge(close(spread_ratio=0.5, max_abs=1e-4), Gate(min_spread=0.5, max_abs=1e-4)).passed


def test_what_fails_by_little_does_not_look_like_the_limit() -> None:
    (check,) = judge(
        close(spread_ratio=0.49996), Gate(max_repeat=None, max_neighbours=None, max_batch=None)
    ).failed
    assert "expected at least 0.5, found 0.49996" in check.text


def test_one_input_a_call_depends_on_no_other() -> None:
    fixed = replace(GOOD, steadiness=Steadiness(0.0, None, None))
    checks = judge(fixed, replace(NO_LIMITS, max_neighbours=1e-3, max_batch=1e-3)).checks
    assert [check.name for check in checks] == ["max_neighbours", "max_batch"]
    assert all(check.passed and "one input a call" in check.text for check in checks)


def test_the_worst_output_decides_and_is_named() -> None:
    outputs = {"embedding": GOOD.main, "context": Closeness(0.5, np.full(64, 0.8), 1.0)}
    verdict = judge(replace(GOOD, outputs=outputs), Gate(min_cosine=0.9))
    assert [check.text.endswith("found 0.8 (context)") for check in verdict.failed] == [True]


@pytest.mark.parametrize(("role", "precision"), GATES)
def test_the_float_original_passes_every_gate_and_a_constant_graph_none(
    role: str, precision: Precision
) -> None:
    gate = GATES[role, precision]
    assert judge(GOOD, gate).passed
    rng = np.random.default_rng(1)
    references = np.eye(1, 32) * 10 + rng.standard_normal((64, 32)) * 0.25
    constant = np.repeat(references.mean(axis=0, keepdims=True), 64, axis=0)
    measured = compare({"embedding": constant}, {"embedding": references})
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.98
    failed = {check.name for check in judge(measured, gate).failed}
    assert "min_spread" in failed


def test_a_smaller_precision_may_lose_more_and_no_gate_is_looser_than_the_device() -> None:
    for role in ("image", "text", "video"):
        fp32, fp16, int8 = GATES[role, "fp32"], GATES[role, "fp16"], GATES[role, "int8"]
        assert fp32.min_cosine is not None
        assert fp16.min_cosine is not None
        assert int8.min_cosine is not None
        assert fp32.min_cosine > fp16.min_cosine > int8.min_cosine
        assert fp32.max_abs == 1e-4
        assert int8.min_mean_cosine == 0.99
    spreads = [gate.min_spread for gate in GATES.values()]
    assert all(spread is not None and spread >= MIN_SPREAD_RATIO for spread in spreads)


def test_naive_int8_that_loses_eight_hundredths_of_cosine_is_left_out() -> None:
    naive = close(cosines=np.full(64, 0.92))
    assert {check.name for check in judge(naive, GATES["image", "int8"]).failed} == {
        "min_cosine",
        "min_mean_cosine",
    }


def test_a_share_is_said_with_its_interval() -> None:
    assert share_text(Share(4, 4)) == "4 of 4 (100.0 %, 95 % interval 51 to 100 %)"


@pytest.mark.parametrize(
    ("count", "total", "limit", "passed", "decided"),
    [
        (11, 12, 0.95, True, False),  # 65 to 99 %: one other clip is no evidence
        (9, 12, 0.95, False, True),  # 47 to 91 %
        (12, 12, 0.95, True, True),
        (60, 64, 0.97, True, False),  # 85 to 98 %
        (480, 512, 0.97, False, True),  # the same share of many: 91 to 95 %
        (960, 1000, 0.97, True, False),
        (9600, 10000, 0.97, False, True),  # 0.96 again: enough inputs for one per cent
        (0, 2, 0.95, False, True),
    ],
)
@pytest.mark.parametrize("name", ["min_same_prompt", "min_retrieval", "min_matched"])
def test_a_share_fails_once_its_interval_lies_below_the_limit(
    name: str, count: int, total: int, limit: float, passed: bool, decided: bool
) -> None:
    share = Share(count, total)
    measured = {
        "min_same_prompt": replace(GOOD, same_prompt=Agreement(share, 0.2)),
        "min_retrieval": replace(GOOD, finds_itself=share),
        "min_matched": replace(GOOD, matched=share),
    }[name]
    verdict = judge(measured, replace(NO_LIMITS, **{name: limit}))
    (check,) = verdict.checks
    assert (check.passed, check.decided, check.found) == (passed, decided, share.value)
    assert check.text.endswith("; too few inputs to decide") is not decided
    assert verdict.passed is passed
    assert verdict.undecided == (() if decided else (check,))


def test_few_inputs_excuse_nothing_but_a_share() -> None:
    few = replace(close(cosines=np.full(3, 0.9)), inputs=3)
    verdict = judge(few, replace(NO_LIMITS, min_mean_cosine=0.99))
    assert not verdict.passed
    assert verdict.undecided == ()
