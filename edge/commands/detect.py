"""``edge detect``: where in a picture are these things?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from rich.console import Console

from edge import paths
from edge.bundle import Bundle, open_bundle
from edge.caption import Caption, split_phrases, write_caption
from edge.config.models import EngineConfig
from edge.config.urls import passwords
from edge.decode import Decoder, Frame, kept_frames
from edge.detections import Detections, find_boxes
from edge.detector import answer, ask
from edge.errors import ConfigError, ModelError
from edge.models import open_models
from edge.plot import check_plot, draw_boxes
from edge.preprocess import Preprocessor, yuv_matrix
from edge.redact import redact, register_secret
from edge.sampler import Sampler
from edge.sources import open_source
from edge.tables import boxes_table
from edge.text import Tokenizer


def detect(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|CLIP|URL", help="A picture, or the first frame of a clip or camera."
        ),
    ],
    phrases: Annotated[
        list[str], typer.Argument(metavar="PHRASE...", help="Things, each ended by a full stop.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="The model's folder. [default: the user's own]")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Smallest score of a box. [default: the bundle's]", min=0, max=1),
    ] = None,
    engine: Annotated[
        Literal["auto", "openvino", "onnxruntime"], typer.Option(help="What computes.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "int8", "fp16", "fp32"], typer.Option(help="Of the detector.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Draw the boxes into this copy of the picture.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All boxes as JSON.")] = False,
) -> None:
    """Find things in a picture by their names.

    Example: `edge detect yard.jpg "a car. a person." --bundle bundles/grounding-dino --out
    boxes.png`

    It needs a bundle of a detector (docs/detect.md). No box is an answer too: the exit code is 0.
    """
    for password in passwords(image):
        register_secret(password)
    if out is not None:
        check_plot(out)
    wanted = list(dict.fromkeys(phrase for text in phrases for phrase in split_phrases(text)))
    if not wanted:
        raise ConfigError("expected a phrase, found none; say what to look for")
    model = _detector_bundle(bundle or paths.default_bundle())
    spec = model.manifest.image
    caption = write_caption(
        wanted, Tokenizer(model.tokenizer(), model.manifest.text), model.manifest.text
    )
    if threshold is None:
        threshold = model.manifest.decision.threshold
    frame = _first_frame(image)
    size = frame.picture.height, frame.picture.width
    with open_models(model, EngineConfig(kind=engine, threads=0, precision=precision)) as models:
        with models.open_text_engine() as text:
            question = ask(text, caption)
        logits, boxes = answer(models.main.engine, question, Preprocessor(spec)(frame.picture))
        used = models.used
    found = find_boxes(logits, boxes, caption.spans, threshold, spec, size)
    labels = [caption.phrases[index] for index in found.classes]
    if out is not None:
        draw_boxes(out, _rgb(frame), found.pixels, found.classes, _with_scores(labels, found))
    if as_json:
        typer.echo(json.dumps(_document(caption, found, labels, size), ensure_ascii=False))
        return
    console = Console(highlight=False)
    count = f"{len(found)} boxes" if len(found) != 1 else "one box"
    console.print(f"{redact(image)}: {count}, {model.manifest.name} {used}, threshold "
                  f"{threshold:g}", markup=False, soft_wrap=True)  # fmt: skip
    if len(found):
        console.print(boxes_table(labels, found))


def _detector_bundle(path: Path) -> Bundle:
    """Open the bundle of a detector.

    Raises:
        ModelError: It is none, or of a model that finds no boxes.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    if manifest.frame_class != "P":
        raise ModelError(
            f"{path}: expected a model that finds boxes (class P), found {manifest.name}, class "
            f"{manifest.frame_class}; build one with `edge-export build grounding-dino-tiny --out "
            "DIR` and name it with --bundle"
        )
    return bundle


def _first_frame(image: str) -> Frame:
    """The first frame of a picture, a recording or a camera.

    Raises:
        SourceError: It cannot be read, or has no frame.
    """
    with open_source(image) as source:
        return next(kept_frames(source.packets(), Decoder(source.stream), Sampler(1)))


def _rgb(frame: Frame) -> NDArray[np.uint8]:
    picture = VideoReformatter().reformat(
        frame.picture, format="rgb24", src_colorspace=yuv_matrix(frame.picture)
    )
    return np.asarray(picture.to_ndarray(), np.uint8)


def _with_scores(labels: Sequence[str], found: Detections) -> list[str]:
    return [f"{label} {score:.2f}" for label, score in zip(labels, found.scores, strict=True)]


def _document(
    caption: Caption, found: Detections, labels: Sequence[str], size: tuple[int, int]
) -> dict[str, Any]:
    return {
        "height": size[0],
        "width": size[1],
        "phrases": caption.phrases,
        "boxes": [
            {
                "phrase": label,
                "class": int(found.classes[row]),
                "score": round(float(found.scores[row]), 6),
                "box": [round(float(share), 6) for share in found.boxes[row]],
                "pixels": [round(float(edge), 2) for edge in found.pixels[row]],
            }
            for row, label in enumerate(labels)
        ],
    }
