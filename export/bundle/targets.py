"""What a bundle may be built for.

``onnx``: graphs that ONNX Runtime and OpenVINO read. ``openvino``: the same as OpenVINO stores
them, which open faster. ``tensorrt``: also float16, and INT8 held to TensorRT's rules; the engine
itself is built on the device (docs/tensorrt.md).
"""

from typing import Final, Literal, get_args

Target = Literal["onnx", "openvino", "tensorrt"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)
