"""Makes the float32 graph of one part of a model, and keeps the finished graph in the cache."""

from typing import Final

import onnx

from export.cache.key import code_version, step_key
from export.cache.steps import StepCache, cached
from export.checkpoints.checkpoint import Checkpoint
from export.families import FAMILIES
from export.families.base import Assembly, Part
from export.graph.pixels import fold_pixels
from export.graph.reshape import simplify, to_bytes
from export.graph.to_onnx import to_onnx

# Packages whose versions are part of the key.
_PACKAGES: Final = ("torch", "transformers", "open_clip_torch", "timm", "onnx", "onnxruntime")


def export_graph(
    part: Part, assembly: Assembly, checkpoint: Checkpoint, cache: StepCache
) -> onnx.ModelProto:
    """Return ``part`` as ONNX: int8 pixels in, constants folded.

    Raises:
        ModelError: ONNX cannot express the part (``to_onnx``, ``fold_pixels``, ``simplify``).
    """

    def export() -> dict[str, bytes]:
        image = assembly.facts.image
        model = to_onnx(part, assembly.opset)
        if part.pixels is not None:
            model = fold_pixels(model, part.pixels, image.mean, image.std)
        return {"graph.onnx": to_bytes(simplify(model))}

    files = cached(cache, graph_key(part, assembly, checkpoint), export)
    return onnx.load_model_from_string(files["graph.onnx"])


def graph_key(part: Part, assembly: Assembly, checkpoint: Checkpoint) -> str:
    """Return the key of the graph of ``part``.

    The key covers the code of the family, of the checkpoint's reader and of the steps here with all
    that they import; the versions of the packages behind them; the weights; the model's facts.
    """
    family = FAMILIES[checkpoint.family].partition(":")[0]
    return step_key(
        "export",
        code_version((__name__, family), _PACKAGES),
        {"weights": checkpoint.origin.sha256},
        {
            "part": part.role,
            "facts": assembly.facts.model_dump(mode="json"),
            "opset": assembly.opset,
        },
    )
