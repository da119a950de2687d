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
    """OpenVINO's core: one for the process, never released.

    The CPU plugin of each core puts a stack for signal handlers into the thread that creates it and
    takes its memory back with the core. Two cores that do not end in the reverse order, or not in
    their own thread, leave the thread with a stack that is gone. The next signal with a handler
    (SIGTERM, SIGCHLD) then kills the process by SIGSEGV without a message, or writes over
    what lies there now, once a tensor (both seen with 2026.4).
    """
    return openvino.Core()


class OpenVinoEngine:
    """A graph in OpenVINO; see ``Engine``."""

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
        # Results are copied out; share_outputs would hand on views of the next call's memory.
        results = self._request.infer(arrays, share_inputs=True, share_outputs=False)
        return {spec.name: results[spec.name] for spec in self.outputs}

    def close(self) -> None:
        self._request = None


def _check_device(device: str, available: list[str]) -> None:
    # AUTO, MULTI and HETERO choose among devices, which is a silent fall-back: none is in the list.
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
    """Fix the inputs ``names`` to one row, so that rows run one by one.

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
        # Two processes with one thread each are otherwise both pinned to the first core. Measured
        # on two cores: 15.4 ms a call pinned, 7.9 ms not.
        properties["ENABLE_CPU_PINNING"] = False
        # Where the CPU has bfloat16 the runtime takes it by itself, and the answers are no longer
        # those of the accuracy card: measured on 162 frames, it cost the default bundle's INT8
        # graph three times as much as INT8 did (cosine 0.993 for 0.998) and saved 30 % of the time.
        properties["INFERENCE_PRECISION_HINT"] = "f32"
        if settings.threads:
            properties["INFERENCE_NUM_THREADS"] = settings.threads
    return properties


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        None if extent.is_dynamic else extent.get_length() for extent in port.get_partial_shape()
    )
    return TensorSpec(port.get_any_name(), port.get_element_type().to_dtype().name, shape)
