"""The variants of a graph: INT8 goes on with blocks in float until the whole verdict passes."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_tower import DIM, MEAN, STD, Tower, blobs, spoilt

from edge.model.engines import EngineSettings, open_engine
from export.graph.pixels import PIXELS, fold_pixels
from export.graph.reshape import simplify, to_bytes
from export.proof.agreement import Prompts
from export.proof.gates import GATES, Verdict, judge
from export.proof.questions import Questions
from export.proof.reference import Exam
from export.proof.verify import measure_variant
from export.quantize.static import quantize_static
from export.variants import make_variants

FRAMES = blobs()
SAMPLES = [{PIXELS: frame[None]} for frame in FRAMES[:48]]
OUTPUT = "embedding"


def prompts(seed: int) -> Prompts:
    rows = np.random.default_rng(seed).normal(size=(64, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    texts = tuple(f"prompt {index}" for index in range(60))
    return Prompts(texts, rows[4:], rows[:4], threshold=0.03)


def tower(normalization: int, factor: float) -> onnx.ModelProto:
    """A tower with an outlier channel; its output has the name that bundles give it."""
    model = spoilt(
        simplify(fold_pixels(Tower(seed=5).model(), "picture", MEAN, STD)), normalization, factor
    )
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    return model


def questions_to(model: onnx.ModelProto, asked: Prompts) -> Questions:
    rows = {PIXELS: FRAMES[48:]}
    session = onnxruntime.InferenceSession(to_bytes(model), providers=["CPUExecutionProvider"])
    answers = session.run([OUTPUT], rows)[0]
    return Questions(Exam(rows, {OUTPUT: answers}), SAMPLES, prompts=asked)


def verdict_of(model: onnx.ModelProto, questions: Questions) -> Verdict:
    engine = open_engine("onnxruntime", to_bytes(model), EngineSettings(threads=0))
    exam = questions.exam
    try:
        measured = measure_variant(engine, exam.rows, exam.answers, prompts=questions.prompts)
    finally:
        engine.close()
    return judge(measured, GATES["image", "int8"])


# What fails with all blocks in INT8, the worst cosine never.
SPOILT: Mapping[str, tuple[int, float, int, set[str]]] = {
    "the mean": (5, 70, 4, {"min_mean_cosine"}),
    "the choices": (4, 70, 1, {"min_same_prompt"}),
}


@pytest.mark.parametrize("case", SPOILT)
def test_int8_goes_on_until_the_whole_verdict_passes(case: str) -> None:
    normalization, factor, seed, failing = SPOILT[case]
    model = tower(normalization, factor)
    questions = questions_to(model, prompts(seed))
    whole = verdict_of(quantize_static(model, SAMPLES), questions)
    assert failing <= {check.name for check in whole.failed}
    assert "min_cosine" not in {check.name for check in whole.failed}, "so it once ended there"
    fp32, int8 = make_variants("image", model, questions, ["onnx"], "frames")
    assert fp32.passed
    assert int8.passed
    assert int8.note is not None
    assert int8.note.startswith("1 of 8 blocks in float")
    assert int8.variant is not None
    assert int8.variant.verdict.failed == ()


def test_a_single_other_choice_of_few_keeps_all_blocks_in_int8_and_is_said() -> None:
    model = tower(4, 70)
    questions = questions_to(model, prompts(0))
    _, int8 = make_variants("image", model, questions, ["onnx"], "frames")
    assert int8.passed
    assert int8.note is not None
    assert int8.note.startswith("all 8 blocks in INT8")
    assert "same first choice: expected at least 0.97, found 23 of 24" in int8.note
    assert int8.note.endswith("too few inputs to decide")
