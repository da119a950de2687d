"""Builds all-MiniLM-L6-v2 as ONNX nodes: from token ids to a sentence's embedding.

The model is a BERT of six layers (Wang et al., MiniLM, 2020; fine-tuned by sentence-transformers),
followed by the mean over the tokens at unit length. The graph computes the attention mask from the
padding id, so it has one input, like CLIP's text towers.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto

from export.default_bundle.graph import Graph

DIM = 384
PAD_ID = 0
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12  # of the checkpoint's config.json, layer_norm_eps

Weights = dict[str, NDArray[Any]]


def sentence_embedding(
    graph: Graph, weights: Weights, input_ids: str, stored: DTypeLike = np.float16
) -> str:
    """Add the tower to ``graph``.

    Args:
        graph: Graph that gets the nodes.
        weights: Tensors of the checkpoint by their Hugging Face names.
        input_ids: Value name, int64 [K,L], padded with 0.
        stored: Type of the large weights in the file; the graph always computes in float32.

    Returns:
        Value name, float [K,384], rows of unit length.
    """
    return _Tower(graph, weights, stored).build(input_ids)


class _Tower:
    def __init__(self, graph: Graph, weights: Weights, stored: DTypeLike) -> None:
        self._graph, self._weights, self._stored = graph, weights, stored
        shape = [0, 0, _HEADS, DIM // _HEADS]
        self._split = graph.constant("split_heads", np.array(shape, np.int64))
        self._merge = graph.constant("merge_heads", np.array([0, 0, DIM], np.int64))
        self._scale = graph.constant(
            "attention_scale", np.array((DIM // _HEADS) ** -0.5, np.float32)
        )

    def build(self, input_ids: str) -> str:
        graph = self._graph
        pad = graph.constant("pad_id", np.array(PAD_ID, np.int64))
        is_pad = graph.node("Equal", "is_pad", [input_ids, pad])
        real = graph.node("Not", "is_real", [is_pad])
        mask = graph.node("Cast", "mask", [real], to=TensorProto.FLOAT)  # [K,L]
        value = self._norm("embeddings.LayerNorm", self._embed(input_ids))
        bias = self._attention_bias(is_pad)
        for layer in range(_LAYERS):
            value = self._layer(f"encoder.layer.{layer}", value, bias)
        return self._pool(value, mask)

    def _embed(self, input_ids: str) -> str:
        """Word + position + segment 0: [K,L,384]."""
        graph, prefix = self._graph, "embeddings"
        words = self._large(f"{prefix}.word_embeddings.weight")
        tokens = graph.node("Gather", f"{prefix}.words", [words, input_ids])
        # Every token is in segment 0, so that segment's row is added to the position table.
        positions = (
            self._weights[f"{prefix}.position_embeddings.weight"]
            + self._weights[f"{prefix}.token_type_embeddings.weight"][0]
        )
        table = graph.constant(f"{prefix}.positions", positions.astype(np.float32))
        shape = graph.node("Shape", f"{prefix}.shape", [input_ids], start=1, end=2)
        zero, axis = (
            graph.constant(f"{prefix}.{name}", np.array([0], np.int64)) for name in ("zero", "axis")
        )
        first = graph.node("Slice", f"{prefix}.first", [table, zero, shape, axis])
        return graph.node("Add", f"{prefix}.sum", [tokens, first])

    def _attention_bias(self, is_pad: str) -> str:
        """Add the attention bias [K,1,1,L]: 0 for a token, a large negative number for padding."""
        graph = self._graph
        far = graph.constant("far", np.array(-1e4, np.float32))
        near = graph.constant("near", np.array(0, np.float32))
        bias = graph.node("Where", "bias", [is_pad, far, near])
        axes = graph.constant("bias_axes", np.array([1, 2], np.int64))
        return graph.node("Unsqueeze", "attention_bias", [bias, axes])

    def _layer(self, name: str, value: str, bias: str) -> str:
        attended = self._attention(f"{name}.attention", value, bias)
        value = self._norm(f"{name}.attention.output.LayerNorm", attended)
        hidden = self._gelu(f"{name}.gelu", self._linear(f"{name}.intermediate.dense", value))
        hidden = self._linear(f"{name}.output.dense", hidden)
        hidden = self._graph.node("Add", f"{name}.residual", [hidden, value])
        return self._norm(f"{name}.output.LayerNorm", hidden)

    def _attention(self, name: str, value: str, bias: str) -> str:
        """Add multi-head self-attention with its residual: [K,L,384] -> [K,L,384]."""
        graph = self._graph
        heads = {}
        orders = {"query": (0, 2, 1, 3), "key": (0, 2, 3, 1), "value": (0, 2, 1, 3)}
        for part, order in orders.items():
            projected = self._linear(f"{name}.self.{part}", value)
            split = graph.node("Reshape", f"{name}.{part}.split", [projected, self._split])
            heads[part] = graph.node("Transpose", f"{name}.{part}.heads", [split], perm=order)
        scores = graph.node("MatMul", f"{name}.scores", [heads["query"], heads["key"]])
        scaled = graph.node("Mul", f"{name}.scaled", [scores, self._scale])
        masked = graph.node("Add", f"{name}.masked", [scaled, bias])
        weights = graph.node("Softmax", f"{name}.weights", [masked], axis=-1)
        mixed = graph.node("MatMul", f"{name}.mixed", [weights, heads["value"]])
        back = graph.node("Transpose", f"{name}.back", [mixed], perm=(0, 2, 1, 3))
        merged = graph.node("Reshape", f"{name}.merged", [back, self._merge])
        projected = self._linear(f"{name}.output.dense", merged)
        return graph.node("Add", f"{name}.residual", [projected, value])

    def _pool(self, value: str, mask: str) -> str:
        """Add the mean over real tokens, at unit length: [K,L,384] -> [K,384]."""
        graph = self._graph
        last = graph.constant("pool.last", np.array([-1], np.int64))
        tokens = graph.constant("pool.tokens", np.array([1], np.int64))
        column = graph.node("Unsqueeze", "pool.column", [mask, last])
        kept = graph.node("Mul", "pool.kept", [value, column])
        total = graph.node("ReduceSum", "pool.total", [kept, tokens], keepdims=0)
        count = graph.node("ReduceSum", "pool.count", [mask, last], keepdims=1)
        mean = graph.node("Div", "pool.mean", [total, count])
        return graph.node("LpNormalization", "sentence", [mean], axis=1, p=2)

    def _linear(self, name: str, value: str) -> str:
        weight = self._large(f"{name}.weight", transpose=True)
        bias = self._graph.constant(f"{name}.bias", self._weights[f"{name}.bias"])
        product = self._graph.node("MatMul", f"{name}.product", [value, weight])
        return self._graph.node("Add", f"{name}.sum", [product, bias])

    def _norm(self, name: str, value: str) -> str:
        parts = [
            self._graph.constant(f"{name}.{part}", self._weights[f"{name}.{part}"])
            for part in ("weight", "bias")
        ]
        return self._graph.node(
            "LayerNormalization", name, [value, *parts], axis=-1, epsilon=_EPSILON
        )

    def _gelu(self, name: str, value: str) -> str:
        """Add the exact GELU: x/2 * (1 + erf(x / sqrt 2))."""
        graph = self._graph
        root = graph.constant(f"{name}.root", np.array(2**0.5, np.float32))
        one = graph.constant(f"{name}.one", np.array(1, np.float32))
        half = graph.constant(f"{name}.half", np.array(0.5, np.float32))
        inner = graph.node("Erf", f"{name}.erf", [graph.node("Div", f"{name}.div", [value, root])])
        gate = graph.node("Add", f"{name}.gate", [inner, one])
        halved = graph.node("Mul", f"{name}.halved", [value, half])
        return graph.node("Mul", name, [halved, gate])

    def _large(self, name: str, *, transpose: bool = False) -> str:
        """Add a large weight; it is cast to float32 where it is used."""
        weight = self._weights[name].T if transpose else self._weights[name]
        stored = self._graph.constant(f"{name}.stored", weight.astype(self._stored))
        return self._graph.node("Cast", name, [stored], to=TensorProto.FLOAT)
