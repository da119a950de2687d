"""Builds ONNX graphs from small calls, each of which adds a node and returns its value's name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Opset 17 is the first with LayerNormalization; ONNX Runtime, OpenVINO and TensorRT 10 all read it.
OPSET = 17
IR_VERSION = 8

# Rows and columns, (H, W).
Extent = tuple[int, int]


class Graph:
    """Nodes and initializers of one graph; ``model`` turns them into a checked ``ModelProto``."""

    def __init__(self) -> None:
        self._prefix = ""
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put ``name.`` before the names of all that is added inside."""
        self._prefix = f"{name}."
        yield
        self._prefix = ""

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer and return its name."""
        name = self._prefix + name
        if name in self._initializers:
            raise ValueError(f"constant {name} exists")
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one output, and return its name; node and output share it."""
        name = self._prefix + name
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def two(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> tuple[str, str]:
        """Add a node with two outputs, ``name.first`` and ``name.second``."""
        name = self._prefix + name
        outputs = f"{name}.first", f"{name}.second"
        self._nodes.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))
        return outputs

    def conv(
        self,
        name: str,
        value: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        *,
        stride: int = 1,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        group: int = 1,
    ) -> str:
        """Convolve ``value`` [N,C,H,W] with ``weight`` [O,C/group,kh,kw].

        ``pads`` are (top, left, bottom, right), filled with zero.
        """
        inputs = [value, self.constant(f"{name}.weight", weight.astype(np.float32))]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias.astype(np.float32)))
        return self.node(
            "Conv",
            name,
            inputs,
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            pads=list(pads),
            group=group,
        )

    def clip(self, name: str, value: str, low: float, high: float) -> str:
        """Limit ``value`` to [low, high]."""
        bounds = [
            self.constant(f"{name}.{edge}", np.array(bound, np.float32))
            for edge, bound in (("low", low), ("high", high))
        ]
        return self.node("Clip", name, [value, *bounds])

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[int | str]]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> onnx.ModelProto:
        """Return the finished model.

        Args:
            name: Name of the graph.
            inputs: ONNX element type and shape by value name; a string is a dynamic axis.
            outputs: Shape by value name; all float32.
        """
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(k, kind, shape) for k, (kind, shape) in inputs.items()],
            [
                helper.make_tensor_value_info(k, TensorProto.FLOAT, shape)
                for k, shape in outputs.items()
            ],
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def same_pads(extent: Extent, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return TensorFlow's SAME padding: top, left, and bottom, right, which get the odd pixel."""
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in extent]
    top, left = (total // 2 for total in totals)
    return top, left, totals[0] - top, totals[1] - left


def strided(extent: Extent, stride: int) -> Extent:
    """Return the extent after a SAME convolution with ``stride``."""
    height, width = extent
    return -(-height // stride), -(-width // stride)
