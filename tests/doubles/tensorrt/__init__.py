"""A double of TensorRT's Python package: its calls, computed by ONNX Runtime. No TensorRT is here.

It exists because no machine of this project's has a GPU. Whatever is public here must exist in the
real bindings with as many parameters (tests/edge/model/engines/test_tensorrt_api.py), so the engine can
use no name that TensorRT does not have. What tests set or look at begins with an underscore.
"""

import enum
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from pycuda import driver as _cuda

from edge.model.engines.telemetry import forbid_telemetry

forbid_telemetry()

import onnxruntime  # noqa: E402 - reads its switch when imported

__version__ = "10.3.0"
_HEADER = b"double of a TensorRT engine\n"
_deserialized: list[bytes] = []
_built: list[bytes] = []
_refuse = False  # whether nothing starts, as without a fitting driver
_refuse_contexts = False

_Shape = Iterable[int]


class DataType(enum.Enum):
    FLOAT = 1
    HALF = 10
    INT8 = 3
    UINT8 = 2
    INT32 = 6
    INT64 = 7
    BOOL = 9
    BF16 = 16


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class ErrorCode(enum.Enum):
    MODEL_DESERIALIZE_FAILED = 3


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class _Value:
    """A tensor of the graph's interface."""

    def __init__(self, info: onnx.ValueInfoProto, mode: TensorIOMode) -> None:
        tensor = info.type.tensor_type
        self.name = info.name
        self.mode = mode
        self.dtype = DataType(tensor.elem_type)
        self.words = [extent.dim_param for extent in tensor.shape.dim]
        self.shape = tuple(-1 if e.dim_param else e.dim_value for e in tensor.shape.dim)


def _values(model: bytes) -> list[_Value]:
    graph = onnx.load_from_string(model).graph
    inputs = [_Value(info, TensorIOMode.INPUT) for info in graph.input]
    return inputs + [_Value(info, TensorIOMode.OUTPUT) for info in graph.output]


class ITensor:
    def __init__(self, value: _Value) -> None:
        self._value = value

    @property
    def name(self) -> str:
        return self._value.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    def get_dimension_name(self, index: int) -> str | None:
        return self._value.words[index] or None


class INetworkDefinition:
    def __init__(self) -> None:
        self._model = b""
        self._inputs: list[_Value] = []
        self._outputs: list[_Value] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._inputs[index])


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: _Shape, opt: _Shape, max: _Shape) -> None:  # noqa: A002
        least, usual, most = list(min), list(opt), list(max)
        for sizes in zip(least, usual, most, strict=True):
            assert 0 < sizes[0] <= sizes[1] <= sizes[2]
        self._shapes[input] = [least, usual, most]


class IBuilderConfig:
    def __init__(self) -> None:
        self._profiles: list[IOptimizationProfile] = []

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class ParserError:
    def __init__(self, why: str) -> None:
        self._why = why

    def code(self) -> ErrorCode:
        return ErrorCode.MODEL_DESERIALIZE_FAILED

    def desc(self) -> str:
        return self._why

    def func(self) -> str:
        return "deserializeOnnxModel"

    def node(self) -> int:
        return -1

    def node_name(self) -> str:
        return ""

    def node_operator(self) -> str:
        return ""


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            if model:
                _session(model)
            values = _values(model)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is no model
            self._errors.append(ParserError(f"Failed to parse the ONNX model: {exc}"))
            return False
        self._network._model = model
        self._network._inputs = [v for v in values if v.mode == TensorIOMode.INPUT]
        self._network._outputs = [v for v in values if v.mode == TensorIOMode.OUTPUT]
        return True


class Builder:
    def __init__(self, logger: ILogger) -> None:
        if _refuse:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> bytes | None:
        shapes = config._profiles[0]._shapes if config._profiles else {}
        for value in network._inputs:
            if -1 in value.shape and value.name not in shapes:
                _report(self._logger, f"{value.name}: no profile")
                return None
        _built.append(network._model)
        return _HEADER + json.dumps(shapes).encode() + b"\n" + network._model


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        if _refuse:
            _report(logger, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
        _deserialized.append(serialized_engine)
        if not serialized_engine.startswith(_HEADER):
            _report(self._logger, "magic tag does not match")
            return None
        shapes, _, model = serialized_engine.removeprefix(_HEADER).partition(b"\n")
        return ICudaEngine(json.loads(shapes), model, self._logger)


class ICudaEngine:
    def __init__(self, shapes: dict[str, Any], model: bytes, logger: ILogger) -> None:
        self._shapes = shapes
        self._session = _session(model)
        self._values = {value.name: value for value in _values(model)}
        self._logger = logger

    @property
    def num_io_tensors(self) -> int:
        return len(self._values)

    def get_tensor_name(self, index: int) -> str:
        return list(self._values)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self._values[name].mode

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._values[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._values[name].shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert profile_index == 0
        return [tuple(shape) for shape in self._shapes[name]]

    def create_execution_context(self) -> "IExecutionContext | None":
        _cuda._current()
        if _refuse_contexts:
            _report(self._logger, "out of memory")
            return None
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: _Shape) -> bool:
        _cuda._current()
        given = tuple(shape)
        fixed = self._engine._values[name].shape
        least, _, most = self._engine._shapes.get(name, [fixed] * 3)
        if not all(a <= b <= c for a, b, c in zip(least, given, most, strict=True)):
            return self._problem(f"{name}: {given} is outside of the profile")
        self._shapes[name] = given
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        extents = {
            word: extent
            for given, shape in self._shapes.items()
            for word, extent in zip(self._engine._values[given].words, shape, strict=True)
        }
        value = self._engine._values[name]
        return tuple(
            extents.get(word, -1) if word else extent
            for word, extent in zip(value.words, value.shape, strict=True)
        )

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory % 256 == 0
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        _cuda._current()
        if missing := set(self._engine._values) - set(self._addresses):
            return self._problem(f"no address of {sorted(missing)}")
        shapes = {name: self.get_tensor_shape(name) for name in self._engine._values}
        addresses = dict(self._addresses)

        def step() -> None:
            arrays = {}
            for name, value in self._engine._values.items():
                dtype = onnx.helper.tensor_dtype_to_np_dtype(value.dtype.value)
                size = int(np.prod(shapes[name])) * dtype.itemsize
                block = _cuda._block(addresses[name], size)
                arrays[name] = block.view(dtype).reshape(shapes[name])
            inputs = {v.name for v in self._engine._session.get_inputs()}
            outputs = [v.name for v in self._engine._session.get_outputs()]
            feed = {name: arrays[name].copy() for name in inputs}
            for name, result in zip(outputs, self._engine._session.run(outputs, feed), strict=True):
                arrays[name][...] = result

        _cuda._streams[stream_handle]._queue.append(step)
        return True

    def _problem(self, message: str) -> bool:
        _report(self._engine._logger, message)
        return False


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _report(logger: ILogger, message: str) -> None:
    logger.log(ILogger.Severity.ERROR, message)
