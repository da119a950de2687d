"""Makes the variants of one graph, compares each with the float original, and judges it.

``make_variants`` turns a float ONNX graph into all variants that a bundle may hold. A variant that
fails its gate is kept with its verdict: the card names it, and the bundle does not hold it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import onnx

from edge.errors import EdgeError, ModelError
from edge.model.bundle.manifest import Precision, Role
from edge.model.engines import Engine, EngineSettings, open_engine
from export.bundle.pack import Artefact
from export.bundle.targets import Target
from export.graph.openvino_ir import IrFiles, to_ir
from export.graph.reshape import fix_axes, to_bytes
from export.proof.answers import ask
from export.proof.card import CardVariant
from export.proof.gates import GATES, Gate, Verdict, judge
from export.proof.questions import Questions
from export.proof.reference import Exam
from export.proof.tensorrt_plan import plan
from export.proof.verify import Measured, compare
from export.quantize.dynamic import quantize_dynamic
from export.quantize.fallback import Judged, quantize_to_gate
from export.quantize.half import to_fp16
from export.quantize.qdq_rules import require_qdq_rules

# Lowest cosine that a device may measure on the golden rows, by precision: the gate of the build,
# less some room for the rounding of another runtime or processor.
GOLDEN_COSINE: Final[Mapping[Precision, float]] = {"fp32": 0.999, "fp16": 0.998, "int8": 0.95}


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One variant, made and judged.

    Attributes:
        name: Name of its graph's file.
        files: Files for the bundle by name, if the variant passed.
        variant: Its entry in the card; None where nothing could be measured.
        refused: Reason why nothing could be measured; None where something was.
        note: Remark for the user about how it was made; None where there is none.
    """

    name: str
    files: dict[str, Artefact]
    variant: CardVariant | None
    refused: str | None = None
    note: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the variant was measured and passed its gate."""
        return self.variant is not None and self.variant.verdict.passed


def make_variants(
    role: Role,
    model: onnx.ModelProto,
    questions: Questions,
    targets: Collection[Target],
    inputs: str,
) -> list[Made]:
    """Make and judge the variants of one graph.

    Args:
        role: Role of the graph.
        model: Graph in float32, reshaped.
        questions: Inputs and references that the variants are measured with.
        targets: Targets of the bundle.
        inputs: Kind of the exam's rows, for the card: frames, clips, sentences or captions.

    Raises:
        ModelError: The float32 graph itself differs from the original, so the export is wrong.
    """
    made = [_onnx(role, "fp32", model, questions, inputs)]
    if not made[0].passed:
        raise ModelError(f"{role} fp32: {_why(made[0])}; this is a slip of the export, report it")
    if "tensorrt" in targets:
        made.append(_try(role, "fp16", lambda: to_fp16(model), questions, inputs))
    if questions.samples:
        made.append(_int8(role, model, questions, targets, inputs))
    elif role == "text":
        made.append(_try(role, "int8", lambda: _dynamic_text(model), questions, inputs))
    if "openvino" in targets and role != "text":
        made += [_ir(one, questions, inputs) for one in made if one.passed]
    return made


def _int8(
    role: Role,
    model: onnx.ModelProto,
    questions: Questions,
    targets: Collection[Target],
    inputs: str,
) -> Made:
    """Make the INT8 variant; blocks go back to float until the graph passes its gate."""
    gate = _gate(role, "int8", questions.exam)
    kept = questions.keep_float([node.name for node in model.graph.node])

    def judged(candidate: onnx.ModelProto) -> Judged:
        measured = _measure(to_bytes(candidate), None, "onnxruntime", "int8", questions)[0]
        return Judged(_closeness(measured), judge(measured, gate).passed)

    try:
        found = quantize_to_gate(
            model, questions.samples, judged, keep_float=kept, ranges=questions.ranges
        )
        note = str(found)
        if "tensorrt" in targets:
            require_qdq_rules(found.model)
            note += f"; {_plan_in_words(to_bytes(found.model))}"
    except EdgeError as exc:
        return Made(f"{role}.int8.onnx", {}, None, str(exc))
    made = _onnx(role, "int8", found.model, questions, inputs)
    return replace(made, note="; ".join(filter(None, (note, made.note))))


def _closeness(measured: Measured) -> float:
    """Return the rank of a candidate: a detector's share of boxes, else the worst cosine."""
    if measured.matched is not None:
        return measured.matched.value
    cosines = measured.main.cosines
    return float("-inf") if cosines is None else float(cosines.min())


def _dynamic_text(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize to dynamic INT8 at one sentence per call, because rows of a call share ranges."""
    named = any(dim.dim_param == "K" for dim in model.graph.input[0].type.tensor_type.shape.dim)
    return quantize_dynamic(fix_axes(model, {"K": 1}) if named else model)


def _plan_in_words(model: bytes) -> str:
    """Return a sentence on what TensorRT's compiler makes of the graph, or why it did not run."""
    try:
        found = plan(model)
    except EdgeError as exc:
        return f"not built with TensorRT: {exc}"
    int8, all_ = len(found.int8_layers), len(found.layers)
    return (
        f"TensorRT for RTX runs {int8} of {all_} layers with weights in INT8, "
        f"{found.fused_attention} fused attention kernels"
    )


def _try(
    role: Role,
    precision: Precision,
    make: Callable[[], onnx.ModelProto],
    questions: Questions,
    inputs: str,
) -> Made:
    try:
        return _onnx(role, precision, make(), questions, inputs)
    except EdgeError as exc:
        return Made(f"{role}.{precision}.onnx", {}, None, str(exc))


def _onnx(
    role: Role, precision: Precision, model: onnx.ModelProto, questions: Questions, inputs: str
) -> Made:
    name, data = f"{role}.{precision}.onnx", to_bytes(model)
    artefact = Artefact(role, data, precision, GOLDEN_COSINE[precision], "onnx")
    return _judged(name, artefact, {name: artefact}, None, questions, inputs)


def _ir(one: Made, questions: Questions, inputs: str) -> Made:
    """Convert a variant to OpenVINO's own form, and judge that too."""
    (artefact,) = one.files.values()
    stem = one.name.removesuffix(".onnx")
    ir: IrFiles = to_ir(artefact.data)
    graph = replace(artefact, data=ir.xml, format="openvino", weights=f"{stem}.bin")
    files = {f"{stem}.xml": graph, f"{stem}.bin": Artefact("weights", ir.weights)}
    return _judged(f"{stem}.xml", graph, files, ir.weights, questions, inputs)


def _judged(
    name: str,
    artefact: Artefact,
    files: dict[str, Artefact],
    weights: bytes | None,
    questions: Questions,
    inputs: str,
) -> Made:
    kind = "openvino" if artefact.format == "openvino" else "onnxruntime"
    role, precision = artefact.role, artefact.precision or "fp32"
    try:
        measured, runtime = _measure(artefact.data, weights, kind, precision, questions)
    except EdgeError as exc:
        return Made(name, {}, None, str(exc))
    verdict = judge(measured, _gate(role, precision, questions.exam))
    variant = CardVariant(name, role, precision, runtime, inputs, measured, verdict)
    return Made(name, files, variant, note=_undecided(verdict))


def _undecided(verdict: Verdict) -> str | None:
    """Return the checks of a passed variant that only more inputs could decide, as text."""
    texts = [check.text for check in verdict.undecided]
    return "; ".join(texts) if texts and verdict.passed else None


def _gate(role: Role, precision: Precision, exam: Exam) -> Gate:
    """Return the gate of a graph; without an ``embedding`` (detectors), nothing is retrieved."""
    gate = GATES[role, precision]
    return gate if "embedding" in exam.answers else replace(gate, min_retrieval=None)


def _measure(
    model: bytes, weights: bytes | None, kind: str, precision: Precision, questions: Questions
) -> tuple[Measured, str]:
    exam = questions.exam
    # ONNX Runtime 1.32 crashes while it fuses a float16 text graph for a CPU (seen with open_clip).
    settings = EngineSettings(threads=0, fuse=precision != "fp16")
    engine: Engine = open_engine(kind, model, settings, weights)
    try:
        found, steadiness = ask(engine, exam.rows, tuple(exam.answers), exam.shared)
    finally:
        engine.close()
    references = dict(exam.answers)
    if questions.meet is not None:
        found["cosine"] = questions.meet(found)
        references["cosine"] = questions.meet(references)
    measured = compare(
        found,
        references,
        prompts=questions.prompts,
        matched=questions.matched,
        steadiness=steadiness,
    )
    return measured, f"{engine.runtime} on {engine.device}"


def _why(made: Made) -> str:
    if made.variant is None:
        return made.refused or "nothing measured"
    return "; ".join(check.text for check in made.variant.verdict.failed)
