"""Runs graphs with TensorRT and pycuda; the engine is built once, on the device that runs it.

An engine fits one version of TensorRT and one kind of GPU, so a bundle contains none. The first
start builds it from the ONNX graph and keeps it (``edge.model.engines.engine_cache``).
"""

import functools
import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pycuda.driver as cuda
import tensorrt
from numpy.typing import NDArray

from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model.engines import tensorrt_builder
from edge.model.engines.base import EngineSettings, TensorSpec
from edge.model.engines.engine_cache import engine_key, read_engine, write_engine
from edge.model.engines.tensors import describe, fitting, with_rows
from edge.system import paths

_log = logging.getLogger(__name__)

# TensorRT's data types to NumPy's.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_PROFILE, _MOST = 0, 2  # only optimization profile; largest of its (least, usual, most)


class TensorRtEngine:
    """Graph in TensorRT; see ``Engine``."""

    name = "tensorrt"
    runtime = f"tensorrt {tensorrt.__version__}"

    def __init__(self, model: bytes, settings: EngineSettings) -> None:
        ordinal = _ordinal(settings.device)
        self._buffers: dict[str, _Buffer] = {}
        self._context: Any = None
        try:
            gpu = cuda.Device(ordinal)
            self.device = f"GPU:{ordinal} {gpu.name()}"
            self._cuda_context = _cuda_context(ordinal)
            with self._current():
                self._open(model, gpu)
        except cuda.Error as exc:
            raise EngineUnavailable(
                f"{self.runtime} on GPU:{ordinal}: expected a GPU that computes, found: {exc}; "
                "close what else uses it, or start the device again"
            ) from exc

    def _open(self, model: bytes, gpu: Any) -> None:
        self._runtime = _start_runtime()
        self._engine = _load(self._runtime, model, gpu)
        self.inputs, self.outputs = _specs(self._engine)
        self._most = {spec.name: _most(self._engine, spec) for spec in self.inputs}
        rows = with_rows(self.inputs, self.outputs)
        self._split = {spec.name for spec in rows if spec.shape[:1] == (None,)}
        self._stream: Any = cuda.Stream()
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineUnavailable(
                f"{self.runtime} on {self.device}: expected memory to run the engine in, found "
                f"{_problems()}; close what else uses the GPU, or take a smaller model"
            )

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._context is None:
            raise InferenceError(f"{self.runtime} is closed")
        arrays = fitting(self.inputs, self.outputs, tensors)
        try:
            with self._current():
                results = [self._execute(piece) for piece in self._pieces(arrays)]
        except cuda.Error as exc:
            raise InferenceError(f"{self.runtime} on {self.device} failed: {exc}") from exc
        if len(results) == 1:
            return results[0]
        return {name: np.concatenate([piece[name] for piece in results]) for name in results[0]}

    def close(self) -> None:
        if self._context is None:
            return
        with self._current():
            # Each object is freed before the object from which it was made.
            self._context = self._engine = self._runtime = None
            for buffer in self._buffers.values():
                buffer.free()
            self._stream = None

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make the GPU's context current in the calling thread inside the block."""
        self._cuda_context.push()
        try:
            yield
        finally:
            cuda.Context.pop()

    def _pieces(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield pieces of the arrays with at most as many rows as the engine accepts."""
        rows = max((len(arrays[name]) for name in self._split), default=1)
        most = max((self._most[name][0] for name in self._split), default=1)
        for row in range(0, rows, most):
            piece = {
                name: array[row : row + most] if name in self._split else array
                for name, array in arrays.items()
            }
            for name, array in piece.items():
                if any(map(int.__gt__, array.shape, self._most[name])):
                    raise InferenceError(
                        f"{name}: expected a shape up to {describe(self._most[name])}, found "
                        f"{describe(array.shape)}"
                    )
            yield piece

    def _execute(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for name, array in arrays.items():
            self._must(self._context.set_input_shape(name, array.shape))
            self._bind(name, array.nbytes)
            cuda.memcpy_htod_async(self._buffers[name].memory, array, self._stream)
        results = {}
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if -1 in shape:
                raise InferenceError(
                    f"{spec.name}: expected a shape that follows from the inputs, found "
                    f"{describe(shape)}: {_problems()}"
                )
            results[spec.name] = np.empty(shape, spec.dtype)
            self._bind(spec.name, results[spec.name].nbytes)
        self._must(self._context.execute_async_v3(self._stream.handle))
        for name, array in results.items():
            cuda.memcpy_dtoh_async(array, self._buffers[name].memory, self._stream)
        self._stream.synchronize()
        return results

    def _bind(self, name: str, size: int) -> None:
        buffer = self._buffers.setdefault(name, _Buffer())
        buffer.grow(size)
        self._must(self._context.set_tensor_address(name, int(buffer.memory)))

    def _must(self, answer: object) -> None:
        if not answer:
            raise InferenceError(f"{self.runtime} on {self.device} failed: {_problems()}")


class _Buffer:
    """Memory of the GPU that can grow. The GPU's context must be current."""

    def __init__(self) -> None:
        self.memory: Any = None
        self._size = 0

    def grow(self, size: int) -> None:
        if size > self._size:
            self.free()
            self.memory = cuda.mem_alloc(size)
            self._size = size

    def free(self) -> None:
        if self.memory is not None:
            self.memory.free()
        self.memory, self._size = None, 0


def _ordinal(device: str) -> int:
    """Return the number of the GPU that ``GPU`` (the first) or ``GPU:1`` names."""
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as exc:
        raise EngineUnavailable(
            f"{TensorRtEngine.runtime}: expected device {device!r}, found no GPU: {exc}; install "
            "the NVIDIA driver (on a Jetson it comes with JetPack), and let this user open it "
            "(group video)"
        ) from exc
    match = re.fullmatch(r"GPU(?::([0-9]{1,3}))?", device)
    ordinal = int(match[1] or 0) if match else count
    if ordinal >= count:
        found = ", ".join(f"GPU:{number}" for number in range(count)) or "no GPU"
        raise EngineUnavailable(
            f"{TensorRtEngine.runtime}: expected device {device!r}, found {found}; set "
            "engine.device to GPU"
        )
    return ordinal


@functools.cache  # the process has one for each GPU, and TensorRT relies on it
def _cuda_context(ordinal: int) -> Any:
    return cuda.Device(ordinal).retain_primary_context()


def _start_runtime() -> Any:
    try:
        return tensorrt.Runtime(tensorrt_builder.logger(tensorrt))
    except (TypeError, RuntimeError) as exc:  # "factory function returned nullptr"
        raise EngineUnavailable(
            f"{TensorRtEngine.runtime}: expected it to start, found {exc}: {_problems()}; TensorRT "
            "and the NVIDIA driver must fit together: install both from the same JetPack"
        ) from exc


def _load(runtime: Any, model: bytes, gpu: Any) -> Any:
    """Deserialize the engine of ``model`` for ``gpu``; build it if none is kept."""
    key = engine_key(
        model=hashlib.sha256(model).hexdigest(),
        runtime=TensorRtEngine.runtime,
        gpu=gpu.name(),
        capability=".".join(map(str, gpu.compute_capability())),
        recipe=tensorrt_builder.RECIPE,
    )
    folder = paths.engine_cache()
    known = read_engine(folder, key)
    engine = None if known is None else runtime.deserialize_cuda_engine(known)
    if engine is None:
        _log.info("building the engine for %s; it takes minutes, once", gpu.name())
        built = tensorrt_builder.build_engine(tensorrt, model)
        _log.info("built in %.0f s", built.build_s)
        write_engine(folder, key, built.engine)
        engine = runtime.deserialize_cuda_engine(built.engine)
    if engine is None:
        raise EngineUnavailable(
            f"{TensorRtEngine.runtime}: expected to load the engine that it built, found "
            f"{_problems()}; free memory of the GPU, or take a smaller model"
        )
    return engine


def _specs(engine: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = engine.get_tensor_dtype(name).name
        if kind not in _DTYPES:
            raise ModelError(f"{name}: expected one of {', '.join(_DTYPES)}, found {kind}")
        extents = engine.get_tensor_shape(name)
        shape = tuple(None if extent == -1 else int(extent) for extent in extents)
        is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(TensorSpec(name, _DTYPES[kind], shape))
    return tuple(inputs), tuple(outputs)


def _most(engine: Any, spec: TensorSpec) -> tuple[int, ...]:
    """Return the largest shape that the engine accepts."""
    if None not in spec.shape:
        return tuple(extent or 0 for extent in spec.shape)
    return tuple(map(int, engine.get_tensor_profile_shape(spec.name, _PROFILE)[_MOST]))


def _problems() -> str:
    return str(tensorrt_builder.logger(tensorrt).problems())
