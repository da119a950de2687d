"""Runs graphs with ONNX Runtime."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model.engines.base import EngineSettings, TensorSpec
from edge.model.engines.telemetry import forbid_telemetry
from edge.model.engines.tensors import fitting

forbid_telemetry()

import onnxruntime  # noqa: E402 - reads its switch when imported
from onnxruntime.capi import onnxruntime_pybind11_state as states  # noqa: E402

PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TENSORRT": "TensorrtExecutionProvider",
}

# The runtime's exceptions have no common base class but Exception.
_FAILURES = (
    states.EPFail,
    states.EngineError,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.ModelRequiresCompilation,
    states.NoModel,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
    RuntimeError,
    ValueError,
)

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}

# Every failure is also raised, so the runtime's own line on stderr would only repeat it.
_FATAL = 4
onnxruntime.set_default_logger_severity(_FATAL)


class OnnxRuntimeEngine:
    """Graph in ONNX Runtime; see ``Engine``."""

    name = "onnxruntime"
    runtime = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, model: bytes, settings: EngineSettings) -> None:
        provider = _provider(settings.device)
        try:
            session = onnxruntime.InferenceSession(
                model, sess_options=_options(settings), providers=[provider]
            )
        except _FAILURES as exc:
            raise ModelError(
                f"{self.runtime} on {settings.device}: expected a model that it can read, "
                f"found: {exc}"
            ) from exc
        # ONNX Runtime falls back to the CPU without an error, at opening and again at running.
        found = session.get_providers()
        if found[0] != provider:
            raise EngineUnavailable(
                f"{self.runtime}: expected {provider}, found {', '.join(found)}; check the driver "
                "and its libraries, or set engine.device to CPU"
            )
        session.disable_fallback()
        self.device = settings.device
        self.inputs = tuple(_spec(value) for value in session.get_inputs())
        self.outputs = tuple(_spec(value) for value in session.get_outputs())
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._session is None:
            raise InferenceError(f"{self.runtime} is closed")
        arrays = fitting(self.inputs, self.outputs, tensors)
        names = [spec.name for spec in self.outputs]
        try:
            results = self._session.run(names, arrays)
        except _FAILURES as exc:
            raise InferenceError(f"{self.runtime} on {self.device} failed: {exc}") from exc
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        self._session = None


def _provider(device: str) -> str:
    available = onnxruntime.get_available_providers()
    devices = [word for word, provider in PROVIDERS.items() if provider in available]
    if device not in devices:
        raise EngineUnavailable(
            f"{OnnxRuntimeEngine.runtime}: expected device {device!r}, found "
            f"{', '.join(devices)}; set engine.device to one of these, or install the build of "
            "onnxruntime for that device"
        )
    return PROVIDERS[device]


def _options(settings: EngineSettings) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if not settings.fuse:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Without this entry the bytes decide the format, and only ONNX was checked for references to
    # other files.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _spec(value: Any) -> TensorSpec:
    if value.type not in _DTYPES:
        raise ModelError(f"{value.name}: expected one of {', '.join(_DTYPES)}, found {value.type}")
    shape = tuple(extent if isinstance(extent, int) else None for extent in value.shape)
    return TensorSpec(value.name, _DTYPES[value.type], shape)
