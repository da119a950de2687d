"""Defines the inputs and outputs of each graph of a bundle (docs/bundle-format.md, "Graphs").

Letters in shapes: N rows, K sentences, T frames of a clip, H, W picture, L tokens, D embedding,
C context vectors, Q boxes, E features of a token.
"""

from dataclasses import dataclass
from typing import Final

from edge.model.bundle.manifest import ModelFacts, Role
from edge.model.engines.base import TensorSpec

# An extent that the graph itself decides; it may be fixed or dynamic.
ANY: Final = -1


@dataclass(frozen=True, slots=True)
class Contract:
    """Inputs and outputs of a graph, by name.

    Attributes:
        inputs: All inputs. An extent of None must be dynamic; ``ANY`` may be anything.
        outputs: Required outputs. More are allowed: a text graph may also give a coverage.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def contract_of(facts: ModelFacts, role: Role) -> Contract:
    """Return the contract of the graph of ``role`` in a model with these facts."""
    height, width, length = facts.image.height, facts.image.width, facts.text.context_length
    if facts.frame_class == "P":
        return _detection(role, height, width, length)
    dim = facts.dim
    rows = _float("embedding", None, dim)
    context = _float("context", None, ANY, dim)
    match role:
        case "image":
            pixels = TensorSpec("pixels", "int8", (None, 3, height, width))
            return Contract((pixels,), (rows,))
        case "regions":
            pixels = TensorSpec("pixels", "int8", (1, 3, height, width))
            boxes, regions = _float("boxes", 1, ANY, 4), _float("regions", 1, ANY, dim)
            return Contract((pixels,), (boxes, regions))
        case "video":
            pixels = TensorSpec("pixels", "int8", (None, facts.frames, 3, height, width))
            return Contract((pixels,), (rows, context))
        case "head":
            text = _float("text", None, dim)
            return Contract((rows, context, text), (_float("cosine", None, None),))
        case _:
            ids = TensorSpec("input_ids", "int64", (None, length))
            # A head adds a change to the sentence's own vector, so the rows, which have unit
            # length, come with their original lengths (edge/scoring/scorers/window.py).
            lengths = (_float("length", None),) if facts.frame_class == "C" else ()
            return Contract((ids,), (rows, *lengths))


def _detection(role: Role, height: int, width: int, length: int) -> Contract:
    """Return the contract of a graph of class P; batch 1, because a run takes one caption."""
    positions = TensorSpec("position_ids", "int64", (1, length))
    block_mask = TensorSpec("block_mask", "bool", (1, length, length))
    features = _float("features", 1, length, ANY)
    if role == "text":
        ids = TensorSpec("input_ids", "int64", (1, length))
        return Contract((ids, positions, block_mask), (features,))
    pixels = TensorSpec("pixels", "int8", (1, 3, height, width))
    token_mask = TensorSpec("token_mask", "bool", (1, length))
    return Contract(
        (pixels, features, token_mask, positions, block_mask),
        (_float("logits", 1, ANY, length), _float("boxes", 1, ANY, 4)),
    )


def _float(name: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name, "float32", shape)
