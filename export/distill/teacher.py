"""Runs the teacher: the float image graph of a bundle, with some inner layers as extra outputs.

Every bundle of class F can be a teacher, such as the default bundle or one that ``edge-export
build`` made from CLIP. The layers are the residual sums: the values that one block passes to the
next, in a transformer and in a convolutional network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch.nn import functional

from edge.errors import ConfigError
from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine, EngineSettings, open_engine
from edge.model.graphs import open_text_engine
from edge.rules.text import TextEncoder, Tokenizer
from export.distill.align import MapShape
from export.graph.reshape import fix_axes, to_bytes

# Number of layers, evenly over the depth: every second block of CLIP ViT-B.
LAYERS: Final = 6
# Places kept along each side of a map. That is a quarter of the places of CLIP ViT-B/16: six layers
# of a picture take 0.45 MB on disk instead of 1.8 MB.
GRID: Final = 7
# Sentences in one encoder call. The words of a sentence take a megabyte.
_TEXTS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Output of a teacher for B pictures.

    Attributes:
        embedding: float32 [B, D], rows of unit length.
        maps: float16 [B, C, rows, columns], shallow first.
    """

    embedding: NDArray[np.float32]
    maps: tuple[NDArray[np.float16], ...]


class Teacher:
    """Runs the float image graph of a bundle. Close it when done.

    Attributes:
        bundle: Bundle of the teacher.
        image: Preprocessing of its pictures.
        shapes: Shapes of the maps in ``Answers``.

    Args:
        bundle: Bundle of class F with a float32 image graph.
        layers: Largest number of layers to output.
        device: Device, as ONNX Runtime names it.

    Raises:
        ConfigError: The bundle is of another class.
        ModelError: The bundle is damaged, or has no float32 image graph.
    """

    def __init__(self, bundle: Bundle, layers: int = LAYERS, device: str = "CPU") -> None:
        manifest = bundle.manifest
        if manifest.frame_class != "F":
            raise ConfigError(
                f"{bundle.path}: expected a teacher that looks at one frame at a time (class F), "
                f"found class {manifest.frame_class}; build one of CLIP's kind"
            )
        self.bundle = bundle
        self.image: ImageSpec = manifest.image
        model = onnx.load_model_from_string(bundle.read("image", "fp32"))
        found = evenly(residuals(model), layers)
        self._grids = tuple(_grid(shape, self.image) for _, shape in found)
        self._names = tuple(name for name, _ in found)
        self.shapes = tuple(
            MapShape(grid.channels, min(grid.rows, GRID), min(grid.columns, GRID))
            for grid in self._grids
        )
        for name in self._names:
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        settings = EngineSettings(device=device, threads=0)
        self._engine: Engine = open_engine("onnxruntime", to_bytes(model), settings)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the graph's values that become the maps."""
        return self._names

    @property
    def logit_scale(self) -> float:
        """Factor on the teacher's own cosines."""
        assert self.bundle.manifest.embedding is not None  # noqa: S101 as class F has
        return self.bundle.manifest.embedding.logit_scale

    def ask(self, pixels: NDArray[np.int8]) -> Answers:
        """Run the graph on int8 pixels [B, 3, H, W]."""
        found = self._engine.run({"pixels": pixels})
        maps = tuple(
            _pooled(found[name], grid, shape)
            for name, grid, shape in zip(self._names, self._grids, self.shapes, strict=True)
        )
        return Answers(found["embedding"], maps)

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed K texts without a template, float32 [K, D].

        Raises:
            ConfigError: A text is longer than the model reads.
        """
        spec = self.bundle.manifest.text
        with open_text_engine(self.bundle, "onnxruntime", EngineSettings(threads=0)) as engine:
            encoder = TextEncoder(engine, Tokenizer(self.bundle.tokenizer(), spec), spec)
            parts = [
                encoder.encode(texts[start : start + _TEXTS]).embeddings
                for start in range(0, len(texts), _TEXTS)
            ]
        return np.concatenate(parts)

    def close(self) -> None:
        self._engine.close()


def residuals(model: onnx.ModelProto) -> list[tuple[str, tuple[int, ...]]]:
    """Find the sums of two computed values of one shape: name and shape, in the graph's order.

    Only maps [1, C, rows, columns] and tokens [1, L, C] count.
    """
    fixed = onnx.shape_inference.infer_shapes(fix_axes(model, {"N": 1}))
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in fixed.graph.value_info
    }
    constants = {tensor.name for tensor in fixed.graph.initializer}
    found = []
    for node in fixed.graph.node:
        if node.op_type != "Add" or constants & set(node.input):
            continue
        one, other, total = (shapes.get(name, ()) for name in (*node.input, node.output[0]))
        if one == other == total and len(total) in {3, 4} and 0 not in total:
            found.append((node.output[0], total))
    return found


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """Choose at most ``count`` items at even distances, always with the last one."""
    if len(items) <= count:
        return list(items)
    return [items[math.ceil((index + 1) * len(items) / count) - 1] for index in range(count)]


def _grid(shape: tuple[int, ...], image: ImageSpec) -> MapShape:
    """Channels and places of a layer. A transformer's class token is not a place."""
    if len(shape) == 4:
        return MapShape(*shape[1:])
    length, channels = shape[1:]
    for places in (length, length - 1):
        side = math.sqrt(image.height * image.width / max(places, 1))
        rows, columns = round(image.height / side), round(image.width / side)
        if rows * columns == places:
            return MapShape(channels, rows, columns)
    return MapShape(channels, 1, length)


def _pooled(values: NDArray[np.float32], grid: MapShape, shape: MapShape) -> NDArray[np.float16]:
    """Average a layer's values to maps [B, C, rows, columns] of ``shape``."""
    maps = torch.from_numpy(values)
    if maps.ndim == 3:
        places = grid.rows * grid.columns
        maps = maps[:, -places:].transpose(1, 2).reshape(len(maps), -1, grid.rows, grid.columns)
    pooled = functional.adaptive_avg_pool2d(maps, (shape.rows, shape.columns))
    return pooled.half().numpy()
