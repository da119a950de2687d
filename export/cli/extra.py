"""Names the packages that building and comparing models needs beyond the device's own."""

from typing import Final

EXTRA: Final = frozenset({"onnx", "onnxruntime", "openvino", "safetensors", "sympy", "tokenizers"})
