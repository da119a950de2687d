"""Training in processes of their own: several that share a batch, and one that is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import classroom
import numpy as np
import pytest
from exported import Exports
from safetensors.torch import load_file

from benchmarks.measuring.broker import free_port
from edge.model.bundle.read import Bundle
from export.distill.data.picture_set import PictureSet
from export.distill.pipeline import Distillation, Distilled

ROOT = Path(__file__).parents[4]
# One thread each: two cores, and sums that do not depend on how many there are.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "ACCELERATE_USE_CPU": "true",
    "GLOO_SOCKET_IFNAME": "lo",
}


def launched(processes: int) -> list[str]:
    """Without MPI, ``accelerate launch --cpu`` starts one process, whatever its options say.

    So torch's own launcher starts them, as accelerate's does for GPUs.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes),
        "--master_addr", "127.0.0.1", "--master_port", str(free_port()), classroom.__file__,
    ]  # fmt: skip


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one_with_the_same_batch(
    bundle: Bundle, pictures: PictureSet, tmp_path: Path
) -> None:
    """Half of the batch, as each process would take without the other, takes others."""

    def curve(processes: int, batch: int) -> list[float]:
        folder = tmp_path / f"{processes}-{batch}"
        out = tmp_path / f"{processes}-{batch}.json"
        words = (bundle.path, pictures.folder, folder, batch, out)
        if processes == 1:
            classroom.steps(*words)
        else:
            done = subprocess.run(
                [*launched(processes), "steps", *map(str, words)],
                env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=150,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        found = json.loads(out.read_text())
        assert found["processes"] == processes
        return found["losses"]

    together, alone, half = curve(2, 16), curve(1, 16), curve(1, 8)
    assert len(together) == len(alone) == 6
    assert np.ptp(alone) > 0.1
    assert together == pytest.approx(alone, rel=1e-4)
    assert half[:6] != pytest.approx(alone, rel=1e-2)


@pytest.mark.slow
def test_a_killed_distillation_goes_on_to_the_same_students(
    bundle: Bundle,
    exports: Exports,
    request_: Distillation,
    distilled: Distilled,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    words = ["whole", bundle.path, exports.pictures(), tmp_path]
    command = [sys.executable, classroom.__file__, *map(str, words)]
    note = tmp_path / "work" / "float" / "last" / "progress.json"

    def within_an_epoch() -> bool:
        assert process.poll() is None, process.communicate()
        try:
            standing = json.loads(note.read_text())["standing"]
        except OSError:  # none yet, or one gives place to the next
            return False
        return standing["step"] > 0

    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        eventually(within_an_epoch, "a state within an epoch", 90)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "student").exists()
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stderr
    for phase in distilled.phases:
        resumed, whole = (
            load_file(work / phase / "best.safetensors")
            for work in (tmp_path / "work", request_.work)
        )
        assert resumed.keys() == whole.keys()
        assert all((resumed[name] == tensor).all() for name, tensor in whole.items())
    assert (tmp_path / "student" / "manifest.json").exists()
