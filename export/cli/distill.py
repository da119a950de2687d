"""Defines ``edge-export distill``: a small student learns a teacher's space."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import TimeRemainingColumn
from rich.table import Table

from edge.errors import ConfigError
from edge.system.command_line import needing
from export.cli.build import size_of, targets_of
from export.cli.signing import signer_of
from export.cli.tables import progress_bars
from export.proof.agreement import Share
from export.proof.card import Pupil

if TYPE_CHECKING:
    from export.distill.pipeline import Distilled

app = typer.Typer()

_LOSSES = ("mimicry", "relational", "alignment", "contrastive")
# What distilling imports beyond what the other commands do.
_PACKAGES = {"accelerate", "nncf", "tensorboard", "timm", "torch", "webdataset"}


@app.command()
def distill(  # noqa: PLR0913, PLR0917 its options
    teacher: Annotated[Path, typer.Argument(help="A bundle; `edge-export build` makes one.")],
    data: Annotated[
        list[Path], typer.Option(help="Pictures, videos, WebDataset shards; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="The student's bundle.")],
    student: Annotated[
        str,
        typer.Option(
            help="mobilevit-v2, mobilenet-v4, efficientnet-lite, vit-tiny, or a name of timm."
        ),
    ] = "mobilevit-v2",
    work: Annotated[
        Path | None, typer.Option(help="What it goes on from. [default: OUT.work]")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Of its pictures. [default: the teacher's]")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="safetensors to begin with, by timm's names.")
    ] = None,
    pretrained: Annotated[  # noqa: FBT002 a flag
        bool, typer.Option("--pretrained", help="Begin with timm's weights, from the hub.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="At most.")] = 30,
    qat_epochs: Annotated[
        int, typer.Option(help="Of the quantization-aware phase; 0 leaves it out.")
    ] = 5,
    batch: Annotated[int, typer.Option(help="Of all processes together.")] = 64,
    chunk: Annotated[
        int, typer.Option(help="In memory at once; the batch's loss stays exact.")
    ] = 64,
    lr: Annotated[float, typer.Option(help="Learning rate at its highest.")] = 1e-3,
    qat_lr: Annotated[float, typer.Option(help="Of the quantization-aware phase.")] = 1e-4,
    variations: Annotated[int, typer.Option(help="Of each picture, beside itself.")] = 8,
    scale: Annotated[
        float | None, typer.Option(help="Of cosines among sentences. [default: the teacher's]")
    ] = None,
    base: Annotated[
        Literal["student", "teacher"], typer.Option(help="Which side explains the other's layers.")
    ] = "student",
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="LOSS=W", help=f"Of {', '.join(_LOSSES)}; all are 1."),
    ] = None,
    patience: Annotated[int, typer.Option(help="Epochs without progress until it ends.")] = 10,
    held_out: Annotated[float, typer.Option(help="Share of pictures to measure on.")] = 0.1,
    max_skipped: Annotated[float, typer.Option(help="Share of files that may be broken.")] = 0.1,
    per_video: Annotated[
        int, typer.Option(help="Frames of a video, those that differ most.")
    ] = 200,
    fps: Annotated[float, typer.Option(help="Frames per second that are looked at.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of weights, order and variations.")] = 0,
    mixed_precision: Annotated[
        Literal["no", "fp16", "bf16"], typer.Option(help="Of training.")
    ] = "no",
    device: Annotated[str, typer.Option(help="Where the teacher runs: CPU or CUDA.")] = "CPU",
    workers: Annotated[int, typer.Option(help="Processes that prepare pictures.")] = 0,
    targets: Annotated[
        str, typer.Option(help="What the bundle is for: onnx, openvino, tensorrt.")
    ] = "onnx",
    key: Annotated[Path | None, typer.Option(help="Private key to sign the bundle with.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Teach a small student a teacher's space, so that every prompt stays valid at a lower cost.

    Examples: `edge-export distill bundles/clip --data footage/ --out bundles/small`,
    `edge-export distill bundles/clip --student vit-tiny --data shards/ --batch 1024 --chunk 64
    --out bundles/tiny`, `accelerate launch --multi_gpu -m export.cli.main distill ...`

    The student is trained through the rounding of INT8 at the end, and the bundle holds what agrees
    best with the teacher in INT8. The same command goes on where it was broken off; `tensorboard
    --logdir OUT.work` shows the curves.
    """
    if pretrained and weights is not None:
        raise ConfigError("expected --weights or --pretrained, found both")
    _settle()
    with needing(_PACKAGES, "distils", "distill"):
        from export.distill import pipeline  # noqa: PLC0415 torch takes seconds
        from export.distill.data.picture_sources import PictureOptions  # noqa: PLC0415
        from export.distill.recipe import LossWeights, Recipe  # noqa: PLC0415
    request = pipeline.Distillation(
        teacher=teacher,
        student=student,
        data=data,
        out=out,
        work=work or out.with_name(f"{out.name}.work"),
        size=size_of(size),
        weights=weights,
        pretrained=pretrained,
        recipe=Recipe(
            epochs=epochs,
            qat_epochs=qat_epochs,
            batch=batch,
            chunk=min(chunk, batch),
            lr=lr,
            qat_lr=qat_lr,
            variations=variations,
            scale=scale,
            base=base,
            weights=LossWeights(**_weights(weight or [])),
            patience=patience,
            held_out=held_out,
            mixed_precision=mixed_precision,
            seed=seed,
        ),
        pictures=PictureOptions(fps=fps, per_video=per_video),
        max_skipped=max_skipped,
        targets=targets_of(targets),
        device=device,
        workers=workers,
    )
    sign = None if key is None else signer_of(key)  # a bad key is reported before the work
    first = os.environ.get("RANK", "0") == "0"
    with progress_bars(TimeRemainingColumn(), shown=first) as progress:
        done = pipeline.distill(request, progress)
    if done.result is not None:
        if sign is not None:
            sign(done.result.bundle.path)
        _report(done, as_json=as_json)


def _settle() -> None:
    """Before anything imports a torchvision that does not fit."""
    from export.checkpoints.torch_vision import settle_misfit  # noqa: PLC0415 imports torch

    settle_misfit()


def _weights(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in _LOSSES or not 0 <= value < float("inf"):
            raise ConfigError(
                f"--weight: expected LOSS=W with a loss of {', '.join(_LOSSES)} and a number from "
                f"0, found {text!r}"
            )
        found[name] = value
    return found


def _report(done: "Distilled", *, as_json: bool) -> None:
    result = done.result
    assert result is not None  # noqa: S101 asked before
    bundle = result.bundle
    if as_json:
        facts = {
            "path": str(bundle.path),
            "hash": bundle.hash,
            "pictures": done.pictures,
            "phases": {name: asdict(standing) for name, standing in done.phases.items()},
            "distilled": json.loads(bundle.read("accuracy"))["distilled"],
            "left_out": {name: list(reasons) for name, reasons in result.left_out.items()},
            "notes": result.notes,
        }
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    size = sum(file.size for file in bundle.manifest.files) / 1e6
    console = Console(highlight=False)
    console.print(f"{bundle.manifest.name} built: {bundle.path} ({size:.1f} MB)", soft_wrap=True)
    counts = ", ".join(f"{count} {what}" for what, count in done.pictures.items())
    console.print(f"  pictures: {counts}", soft_wrap=True)
    for name, standing in done.phases.items():
        console.print(
            f"  {name}: {standing.epoch} epochs, held-out loss {standing.best:.4f}",
            soft_wrap=True,
        )
    console.print(_table(result.pupils))
    for name, reasons in result.left_out.items():
        console.print(f"  {name} left out: {'; '.join(reasons)}", soft_wrap=True)
    for note in result.notes:
        console.print(f"  {note}", soft_wrap=True)


def _table(pupils: tuple[Pupil, ...]) -> Table:
    table = Table(box=None)
    for title in ("", "cosine", "worst", "centred", "same choice", "retrieval", "GMAC", "MB"):
        table.add_column(title, justify="right" if title else "left")
    for pupil in pupils:
        table.add_row(
            f"{'* ' if pupil.packed else '  '}{pupil.name}",
            f"{pupil.mean_cosine:.4f}",
            f"{pupil.min_cosine:.4f}",
            f"{pupil.centred_cosine:.4f}",
            _share(pupil.same_choice),
            _share(pupil.retrieval),
            f"{pupil.gmacs:.3f}",
            f"{pupil.megabytes:.1f}",
        )
    return table


def _share(share: Share | None) -> str:
    return "-" if share is None else f"{100 * share.value:.1f} %"
