"""Names and runtimes of the variants that are timed."""

import pytest

from benchmarks.model.variants import check_names, installed_engines
from edge.errors import ConfigError, EngineUnavailable


def test_an_engine_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="--engine: expected one of onnxruntime, openvino"):
        check_names(["openvinno"], [])
    with pytest.raises(ConfigError, match="--precision: expected one of fp32, fp16, int8"):
        check_names([], ["int4"])
    check_names(["onnxruntime", "openvino"], ["int8", "fp32"])


def test_without_any_runtime_there_is_nothing_to_time() -> None:
    with pytest.raises(EngineUnavailable, match="found none installed"):
        installed_engines("CPU", find=lambda _name: None)
