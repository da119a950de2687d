"""Runs graphs with OpenVINO."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model.engines.base import EngineSettings, TensorSpec
from edge.model.engines.telemetry import forbid_telemetry
from edge.model.engines.tensors import fitting, with_rows

forbid_telemetry()

import openvino  # noqa: E402 - reads its switch when imported


@cache
def core() -> openvino.Core:
    """Return OpenVINO's core: one for the process, never released.

    The CPU plugin of each core gives a stack for signal handlers to the thread that creates it, and
    frees that memory with the core. If two cores do not end in the reverse order, or do not end in
    their own thread, the thread keeps a freed stack. The next signal with a handler (SIGTERM,
    SIGCHLD) then ends the process by SIGSEGV without a message, or overwrites the data that use
    this memory now, in one case a tensor (both seen with 2026.4).
    """
    return openvino.Core()


class OpenVinoEngine:
    """Graph in OpenVINO; see ``Engine``."""

    name = "openvino"
    runtime = f"openvino {openvino.get_version().partition('-')[0]}"

    def __init__(
        self, model: bytes, settings: EngineSettings, weights: bytes | None = None
    ) -> None:
        _check_device(settings.device, core().available_devices)
        try:
            graph = core().read_model(model, weights or b"")
            self.inputs = tuple(_spec(port) for port in graph.inputs)
            self.outputs = tuple(_spec(port) for port in graph.outputs)
            self._one_row: set[str] = set()
            if settings.device == "CPU" and _has_rows(self.inputs + self.outputs):
                self._one_row = {spec.name for spec in with_rows(self.inputs, self.outputs)}
                _fix_one_row(graph, self._one_row)
            compiled = core().compile_model(graph, settings.device, _properties(settings))
            found = [str(device) for device in compiled.get_property("EXECUTION_DEVICES")]
        except RuntimeError as exc:
            raise ModelError(
                f"{self.runtime} on {settings.device}: expected a model that it can read, "
                f"found: {exc}"
            ) from exc
        if not all(_is_device(settings.device, device) for device in found):
            raise EngineUnavailable(
                f"{self.runtime}: expected device {settings.device}, found {', '.join(found)}"
            )
        self.device = ",".join(found)
        self._request: Any = compiled.create_infer_request()

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._request is None:
            raise InferenceError(f"{self.runtime} is closed")
        arrays = fitting(self.inputs, self.outputs, tensors)
        try:
            if not self._one_row:
                return self._infer(arrays)
            rows = [
                self._infer(
                    {
                        name: array[row : row + 1] if name in self._one_row else array
                        for name, array in arrays.items()
                    }
                )
                for row in range(len(arrays[self.inputs[0].name]))
            ]
        except RuntimeError as exc:
            raise InferenceError(f"{self.runtime} on {self.device} failed: {exc}") from exc
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _infer(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # Results are copied; with share_outputs they would be views of the next call's memory.
        results = self._request.infer(arrays, share_inputs=True, share_outputs=False)
        return {spec.name: results[spec.name] for spec in self.outputs}

    def close(self) -> None:
        self._request = None


def _check_device(device: str, available: list[str]) -> None:
    # AUTO, MULTI and HETERO are not in the list: they choose a device, which is a silent fall-back.
    if not any(_is_device(device, found) for found in available):
        raise EngineUnavailable(
            f"{OpenVinoEngine.runtime}: expected device {device!r}, found {', '.join(available)}; "
            "set engine.device to one of these, or install that device's driver"
        )


def _is_device(asked: str, found: str) -> bool:
    # With two graphics cards "GPU" is the first of GPU.0 and GPU.1.
    return found == asked or found.startswith(f"{asked}.")


def _has_rows(specs: tuple[TensorSpec, ...]) -> bool:
    return all(spec.shape[:1] == (None,) for spec in specs)


def _fix_one_row(graph: Any, names: set[str]) -> None:
    """Fix the inputs ``names`` to one row; the rows then run one by one.

    Measured with EfficientNet-Lite0 and CenterNet at 288x512 on one core, float and INT8: a row of
    a fixed batch of one takes 48 ms, of a fixed batch of four 48 ms (and twice the memory), of a
    dynamic batch 60 to 70 ms.
    """
    graph.reshape(
        {
            port: [1, *list(port.get_partial_shape())[1:]]
            for port in graph.inputs
            if port.get_any_name() in names
        }
    )


def _properties(settings: EngineSettings) -> dict[str, Any]:
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if settings.device == "CPU":
        # With pinning, two processes with one thread each share the first core. Measured on two
        # cores: 15.4 ms a call with pinning, 7.9 ms without.
        properties["ENABLE_CPU_PINNING"] = False
        # On a CPU with bfloat16 the runtime would use it, and the answers would differ from those
        # of the accuracy card. Measured on 162 frames with the default bundle's INT8 graph: it lost
        # three times as much as INT8 itself (cosine 0.993 instead of 0.998) and saved 30 % of the
        # time.
        properties["INFERENCE_PRECISION_HINT"] = "f32"
        if settings.threads:
            properties["INFERENCE_NUM_THREADS"] = settings.threads
    return properties


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        None if extent.is_dynamic else extent.get_length() for extent in port.get_partial_shape()
    )
    return TensorSpec(port.get_any_name(), port.get_element_type().to_dtype().name, shape)
