"""Opens engines by name: a serialized model goes in, an engine that runs it comes out.

A runtime is imported only when its engine is opened.
"""

from importlib import import_module  # noqa: TID251  a row of ENGINES

from edge.errors import ConfigError, EngineUnavailable
from edge.model.engines.base import Engine, EngineSettings, TensorSpec

__all__ = ["ENGINES", "Engine", "EngineSettings", "TensorSpec", "open_engine"]

# The name is also the name of the runtime's package and of the pip extra that installs it.
ENGINES = {
    "null": "edge.model.engines.null:NullEngine",
    "onnxruntime": "edge.model.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edge.model.engines.openvino:OpenVinoEngine",
    "tensorrt": "edge.model.engines.tensorrt:TensorRtEngine",
}
# Package that an engine imports besides the package of its own name.
_HELPERS = {"tensorrt": "pycuda"}
# Advice about packages that the extra cannot install.
_NOTES = {
    "tensorrt": "; TensorRT's own package comes with JetPack: make the environment with "
    "python3 -m venv --system-site-packages"
}


def open_engine(
    name: str, model: bytes, settings: EngineSettings, weights: bytes | None = None
) -> Engine:
    """Open a serialized model with the runtime called ``name``.

    Args:
        name: Name of the engine, a row of ``ENGINES``.
        model: ONNX model without external data (``onnx_file`` checks it); with ``weights``, the
            XML of an OpenVINO model.
        settings: Device and threads.
        weights: Weights of an OpenVINO model, which only OpenVINO reads; None for ONNX.

    Raises:
        ConfigError: No engine has that name.
        EngineUnavailable: The runtime is not installed, or does not have the device.
        ModelError: The runtime cannot read the model.
    """
    if name not in ENGINES:
        raise ConfigError(f"Unknown engine {name!r}; expected one of {', '.join(sorted(ENGINES))}.")
    module, _, attribute = ENGINES[name].partition(":")
    try:
        opener = getattr(import_module(module), attribute)
    except ImportError as exc:
        # A missing module of this program is a bug, not a missing runtime.
        package = (exc.name or "").partition(".")[0]
        if package not in {name, _HELPERS.get(name)}:
            raise
        raise EngineUnavailable(
            f"engine {name}: expected the package {package}, found: {exc}. Install it with: "
            f"pip install 'camera-edge-runtime[{name}]'{_NOTES.get(name, '')}"
        ) from exc
    engine: Engine = (
        opener(model, settings) if weights is None else opener(model, settings, weights)
    )
    return engine
