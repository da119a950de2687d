"""Lists the targets that a bundle may be built for.

``onnx``: graphs that ONNX Runtime and OpenVINO read. ``openvino``: the same graphs in OpenVINO's
own form too, which opens faster. ``tensorrt``: also float16 graphs, and INT8 graphs that keep
TensorRT's rules; the device itself builds the engine (docs/tensorrt.md).
"""

from typing import Final, Literal, get_args

Target = Literal["onnx", "openvino", "tensorrt"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)
