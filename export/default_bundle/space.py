"""Both ways into the concept space, as ONNX: a picture's evidence and a sentence's route.

A unit vector of 1082 axes. The dot product of an image and a sentence is then a weighted sum of
evidence, and the runtime cannot tell this space from CLIP's.

Image. ``h`` is the detector's best heat per COCO class above a floor, ``p`` the classifier's
probabilities, ``K`` the 1000 x 80 table of kinds (a cab is a car)::

    coco = 1 - (1 - h) (1 - p K)             either witness is enough (noisy or)
    x = [coco, p],  x / max(1, |x|)          an image cannot show more than everything
    nothing = sqrt(1 - |x|^2)                what is left unexplained; makes the vector unit long

The last step is the asymmetric reduction of inner products to cosines (Bachrach et al., 2014):
evidence keeps its size, where plain normalization would blow up the noise of an empty scene.
Measured on six clips of fixed cameras: without ``p K`` the area under the ROC curve for "a
vehicle" is 0.92, with it 0.98.

Sentence. An attention over anchor sentences, values are axes::

    w = softmax((q . anchors) / T + bias),  t = unit(w V),  c = clamp((coverage - 0.3) / 0.3)
    embedding = c t, the rest of the unit length goes to "unexpressed"

``nothing`` itself gets only ``FLOOR`` of an image's unexplained rest, so a background prompt
scores about ``FLOOR`` and a margin of zero means evidence of ``FLOOR``. A sentence that the
concepts do not cover claims less: at a coverage of 0.3 nothing at all.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.default_bundle.concepts import COCO_AXES, DIM, NOTHING, UNEXPRESSED, Concepts
from export.default_bundle.graph import Graph

# Heat of 0.1 is what the detector says of empty scenes (median of the best class on five clips).
HEAT_FLOOR = 0.1
# Evidence that counts as seeing: empty scenes reach 0.08 to 0.1, the weakest true events 0.15.
FLOOR = 0.13
TEMPERATURE = 0.07
# A COCO axis has two witnesses, an ImageNet axis one: near ties go to COCO.
COCO_BIAS = 0.05
COVERED, UNCOVERED = 0.6, 0.3


def image_embedding(graph: Graph, heat: str, logits: str, concepts: Concepts) -> str:
    """Add the image head.

    Args:
        graph: Where to.
        heat: Value name, float [N,80,h,w], 0..1.
        logits: Value name, float [N,1000].
        concepts: For the table of kinds.

    Returns:
        Value name, float [N,1082], rows of unit length.
    """
    one = graph.constant("one", np.array(1, np.float32))
    peak = graph.node("Flatten", "peak", [graph.node("GlobalMaxPool", "peak.map", [heat])])
    floor = graph.constant("heat_floor", np.array(HEAT_FLOOR, np.float32))
    span = graph.constant("heat_span", np.array(1 - HEAT_FLOOR, np.float32))
    above = graph.node("Div", "above", [graph.node("Sub", "above.raw", [peak, floor]), span])
    seen = graph.node("Relu", "seen", [above])
    classes = graph.node("Softmax", "classes", [logits], axis=-1)
    kinds = graph.constant("kinds", concepts.kinds)
    supported = graph.node("MatMul", "supported", [classes, kinds])
    both = graph.node("Mul", "both", [seen, supported])
    either = graph.node("Add", "either.sum", [seen, supported])
    coco = graph.node("Sub", "either", [either, both])
    evidence = graph.node("Concat", "evidence", [coco, classes], axis=1)
    square = graph.node("ReduceSumSquare", "square", [evidence], axes=[1], keepdims=1)
    divisor = graph.node("Sqrt", "divisor", [graph.node("Max", "square.high", [square, one])])
    bounded = graph.node("Div", "bounded", [evidence, divisor])
    rest = graph.node("Sub", "rest", [one, graph.node("Min", "square.low", [square, one])])
    nothing = graph.node("Sqrt", "nothing", [rest])
    zero = graph.constant("zero", np.array(0, np.float32))
    unexpressed = graph.node("Mul", "unexpressed", [nothing, zero])
    return graph.node("Concat", "embedding", [bounded, nothing, unexpressed], axis=1)


def text_embedding(
    graph: Graph, sentence: str, concepts: Concepts, anchors: NDArray[np.float32]
) -> tuple[str, str]:
    """Add the text head.

    Args:
        graph: Where to.
        sentence: Value name, float [K,384], rows of unit length.
        concepts: Axes and anchors.
        anchors: float32 [A,384], the tower's embedding of each anchor.

    Returns:
        Value names of the embedding, float [K,1082], rows of unit length, and of the coverage,
        float [K]: the cosine to the nearest anchor that counts.
    """
    counting = sum(anchor.counts for anchor in concepts.anchors)
    # The mean direction is what all short English phrases share; without it cosines are honest.
    centre = anchors[:counting].mean(0)
    keys = anchors - centre
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    shifted = graph.node("Sub", "shifted", [sentence, graph.constant("centre", centre)])
    query = graph.node("LpNormalization", "query", [shifted], axis=1, p=2)
    stored = graph.constant("anchors.fp16", keys.T.astype(np.float16))
    table = graph.node("Cast", "anchors", [stored], to=TensorProto.FLOAT)
    cosine = graph.node("MatMul", "cosine", [query, table])  # [K,A]
    coverage = _coverage(graph, cosine, counting)
    temperature = graph.constant("temperature", np.array(TEMPERATURE, np.float32))
    bias = np.array(
        [COCO_BIAS if anchor.axis < COCO_AXES else 0.0 for anchor in concepts.anchors], np.float32
    )
    biased = graph.node("Add", "biased", [cosine, graph.constant("bias", bias)])
    scaled = graph.node("Div", "scaled", [biased, temperature])
    weights = graph.node("Softmax", "weights", [scaled], axis=-1)
    stored = graph.constant("values.fp16", _values(concepts).astype(np.float16))
    values = graph.node("Cast", "values", [stored], to=TensorProto.FLOAT)
    routed = graph.node("MatMul", "routed", [weights, values])
    unit = graph.node("LpNormalization", "route", [routed], axis=1, p=2)
    return _claim(graph, unit, coverage), coverage


def _values(concepts: Concepts) -> NDArray[np.float32]:
    """float32 [A,1082]: the axis of each anchor; "nothing" mostly means what is unexpressed."""
    values = np.zeros((len(concepts.anchors), DIM), np.float32)
    for row, anchor in zip(values, concepts.anchors, strict=True):
        row[anchor.axis] = 1
        if anchor.axis == NOTHING:
            row[NOTHING], row[UNEXPRESSED] = FLOOR, np.sqrt(1 - FLOOR**2)
    return values


def _coverage(graph: Graph, cosine: str, counting: int) -> str:
    first, last, axis = (
        graph.constant(f"counting.{name}", np.array([value], np.int64))
        for name, value in (("first", 0), ("last", counting), ("axis", 1))
    )
    counted = graph.node("Slice", "counted", [cosine, first, last, axis])
    return graph.node("ReduceMax", "coverage", [counted], axes=[1], keepdims=0)


def _claim(graph: Graph, unit: str, coverage: str) -> str:
    """Scale the expressed axes by how far the concepts cover the sentence; stay of unit length."""
    low = graph.constant("uncovered", np.array(UNCOVERED, np.float32))
    span = graph.constant("covered.span", np.array(COVERED - UNCOVERED, np.float32))
    above = graph.node("Sub", "claim.above", [coverage, low])
    claim = graph.clip("claim", graph.node("Div", "claim.raw", [above, span]), 0, 1)
    axis = graph.constant("claim.axis", np.array([1], np.int64))
    column = graph.node("Unsqueeze", "claim.column", [claim, axis])
    first = graph.constant("expressed.first", np.array([0], np.int64))
    last = graph.constant("expressed.last", np.array([UNEXPRESSED], np.int64))
    expressed = graph.node("Slice", "expressed.all", [unit, first, last, axis])
    claimed = graph.node("Mul", "expressed", [expressed, column])
    square = graph.node("ReduceSumSquare", "expressed.square", [claimed], axes=[1], keepdims=1)
    one = graph.constant("one", np.array(1, np.float32))
    # Rounding may push the square a hair above one.
    rest = graph.node("Relu", "rest", [graph.node("Sub", "rest.raw", [one, square])])
    unexpressed = graph.node("Sqrt", "unexpressed", [rest])
    return graph.node("Concat", "embedding", [claimed, unexpressed], axis=1)
