"""What ``make export-full`` measures, on a tiny model."""

import numpy as np
import pytest
from exported import Exports

from export.compare.full_size import Arrays, contest, measure, table
from export.proof.reference import Exam


@pytest.mark.slow
def test_every_way_to_run_a_model_is_checked_and_timed(exports: Exports) -> None:
    costs = measure(str(exports.checkpoint("clip")), None, (8, 4), 2, 0.01)
    assert set(costs.timings) == {
        "torch fp32",
        *(f"{k} {p}" for k in ("onnxruntime", "openvino") for p in ("fp32", "int8")),
    }
    for way, timing in costs.timings.items():
        assert timing.low is not None
        assert timing.ms is not None
        assert timing.high is not None
        assert timing.min_cosine is not None
        assert 0 < timing.low <= timing.ms <= timing.high
        assert timing.min_cosine > (0.9999 if "fp32" in way else 0.95)
    assert costs.megabytes["int8"] < costs.megabytes["fp32"]
    assert costs.peak_gb > 0
    assert table(costs).row_count == 5


def test_a_wrong_answer_has_no_time() -> None:
    answers = np.eye(4, dtype=np.float32)
    exam = Exam({"pixels": np.arange(4, dtype=np.int8)[:, None]}, {"embedding": answers})

    def right(row: Arrays) -> Arrays:
        return {"embedding": answers[row["pixels"][:, 0]]}

    def wrong(row: Arrays) -> Arrays:
        return {"embedding": answers[3 - row["pixels"][:, 0]]}

    found = contest({"right": lambda: right, "wrong": lambda: wrong}, exam, 2, 0.001)
    assert found["right"].ms is not None
    assert found["wrong"].ms is None
    assert found["wrong"].min_cosine == 0
