"""Engines by name; a row is imported only when asked for."""

from importlib import import_module

from edge.engines.base import Engine, EngineSettings, TensorSpec
from edge.errors import ConfigError

__all__ = ["ENGINES", "Engine", "EngineSettings", "TensorSpec", "open_engine"]

ENGINES = {
    "null": "edge.engines.null:NullEngine",
    "onnxruntime": "edge.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edge.engines.openvino:OpenVinoEngine",
}


def open_engine(name: str, model: bytes, settings: EngineSettings) -> Engine:
    """Open a serialized ONNX model with the runtime called ``name``.

    Raises:
        ConfigError: No engine of that name.
        EngineUnavailable: The runtime is not installed, or has no such device.
        ModelError: The runtime cannot read the model.
    """
    if name not in ENGINES:
        raise ConfigError(f"Unknown engine {name!r}; expected one of {', '.join(sorted(ENGINES))}.")
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(model, settings)
    return engine
