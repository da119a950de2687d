"""The command ``edge detect``: finds named things in a picture."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from rich.console import Console

from edge.alerts.second_look.detectors import REGION_THRESHOLD
from edge.cli.commands.picture_options import AspectOption, RotateOption, geometry_of
from edge.cli.plot import check_plot, draw_boxes
from edge.cli.tables import boxes_table
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.config.urls import passwords
from edge.errors import ConfigError, ModelError
from edge.model.bundle.read import Bundle, open_bundle
from edge.rules.caption import split_phrases, write_caption
from edge.rules.text import Tokenizer
from edge.scoring.boxes import Detections, find_boxes, keep_boxes
from edge.scoring.grounding import answer, ask
from edge.scoring.open import open_models
from edge.system import paths
from edge.system.redact import redact, register_secret
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.geometry import GeometrySettings
from edge.video.preprocess import Preprocessor, yuv_matrix
from edge.video.sampler import Sampler
from edge.video.sources import open_source

logger = logging.getLogger(__name__)


def detect(  # noqa: PLR0913, PLR0917  options of a command line
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
        Literal["auto", "int8", "fp16", "fp32"], typer.Option(help="Precision of the detector.")
    ] = "auto",
    aspect: AspectOption = None,
    rotate: RotateOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the boxes into this copy of the picture.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All boxes as JSON.")] = False,
) -> None:
    """Find things in a picture by their names.

    Example: `edge detect yard.jpg "a car. a person." --bundle bundles/grounding-dino --out
    boxes.png`

    Without --bundle the default model's regions are used: 80 kinds of things (docs/detect.md). No
    box is an answer too: the exit code is 0.
    """
    for password in passwords(image):
        register_secret(password)
    if out is not None:
        check_plot(out)
    geometry = geometry_of(aspect, rotate)
    wanted = list(dict.fromkeys(phrase for text in phrases for phrase in split_phrases(text)))
    if not wanted:
        raise ConfigError("expected a phrase, found none; say what to look for")
    model = open_bundle(bundle or paths.default_bundle())
    frame = _first_frame(image, geometry)
    size = frame.picture.height, frame.picture.width
    settings = EngineConfig(kind=engine, threads=0, precision=precision)
    if model.manifest.frame_class == "P":
        phrases_seen, found, used = _by_caption(model, settings, wanted, frame, threshold)
    else:
        phrases_seen, found, used = _by_regions(model, settings, wanted, frame, threshold)
    labels = [phrases_seen[index] for index in found.classes]
    if out is not None:
        draw_boxes(out, _rgb(frame), found.pixels, found.classes, _with_scores(labels, found))
    if as_json:
        typer.echo(json.dumps(_document(phrases_seen, found, labels, size), ensure_ascii=False))
        return
    console = Console(highlight=False)
    count = f"{len(found)} boxes" if len(found) != 1 else "one box"
    console.print(f"{redact(image)}: {count}, {model.manifest.name} {used}",
                  markup=False, soft_wrap=True)  # fmt: skip
    if len(found):
        console.print(boxes_table(labels, found))


_Answer = tuple[Sequence[str], Detections, str]
"""Phrases as the model reads them, the boxes, and the engine in words."""


def _by_caption(
    model: Bundle, settings: EngineConfig, wanted: list[str], frame: Frame, threshold: float | None
) -> _Answer:
    """Find boxes with a detector that reads the phrases (class P)."""
    manifest = model.manifest
    tokenizer = Tokenizer(model.tokenizer(), manifest.text)
    caption = write_caption(wanted, tokenizer, manifest.text)
    for phrase in tokenizer.unknown(wanted):
        logger.warning("%r has a word that the model does not know: its boxes mean nothing", phrase)
    threshold = manifest.decision.threshold if threshold is None else threshold
    with open_models(model, settings) as models:
        with models.open_text_engine() as text:
            question = ask(text, caption)
        pixels = Preprocessor(manifest.image)(frame.picture)
        logits, boxes = answer(models.main.engine, question, pixels)
        used = models.used
    size = frame.picture.height, frame.picture.width
    found = find_boxes(logits, boxes, caption.token_spans, threshold, manifest.image, size)
    return caption.phrases, found, f"{used}, threshold {threshold:g}"


def _by_regions(
    model: Bundle, settings: EngineConfig, wanted: list[str], frame: Frame, threshold: float | None
) -> _Answer:
    """Find boxes by comparing a model's regions with the phrases (class F).

    Raises:
        ModelError: The model has no regions.
    """
    manifest = model.manifest
    threshold = REGION_THRESHOLD if threshold is None else threshold
    size = frame.picture.height, frame.picture.width
    with open_models(model, settings) as models, models.open_regions() as engine:
        if engine is None:
            raise ModelError(
                f"{model.path}: expected a model that finds boxes (class P, or with regions), "
                f"found {manifest.name}, class {manifest.frame_class}; build one with "
                "`edge-export build grounding-dino-tiny --out DIR` and name it with --bundle"
            )
        rules = {phrase: PromptConfig(text=(phrase,)) for phrase in wanted}
        with models.scoring.open_compiler() as compile_prompts:
            bank = compile_prompts(rules)
        for note in bank.notes:
            logger.warning("%r is %s", note.prompt, note.text)
        outputs = engine.run({"pixels": Preprocessor(manifest.image)(frame.picture)[np.newaxis]})
        used = f"{models.bundle.precisions('regions')[0]} on {engine.runtime}"
    texts = slice(0, bank.prompts[-1].texts.stop)
    scores = np.clip(outputs["regions"][0] @ bank.rows[texts].T, 0, 1)  # [Q, P]
    found = keep_boxes(scores, outputs["boxes"], threshold, manifest.image, size)
    return bank.sentences[texts], found, f"{used}, threshold {threshold:g}"


def _first_frame(image: str, geometry: GeometrySettings) -> Frame:
    """Return the first frame of a picture, a recording or a camera.

    Raises:
        SourceError: The source cannot be read, or has no frame.
    """
    with open_source(image) as source:
        if source.choice is not None:
            typer.echo(f"note: {source.choice}", err=True)
        return next(kept_frames(source.packets(), Decoder(source.stream, geometry), Sampler(1)))


def _rgb(frame: Frame) -> NDArray[np.uint8]:
    picture = VideoReformatter().reformat(
        frame.picture, format="rgb24", src_colorspace=yuv_matrix(frame.picture)
    )
    return np.asarray(picture.to_ndarray(), np.uint8)


def _with_scores(labels: Sequence[str], found: Detections) -> list[str]:
    return [f"{label} {score:.2f}" for label, score in zip(labels, found.scores, strict=True)]


def _document(
    phrases: Sequence[str], found: Detections, labels: Sequence[str], size: tuple[int, int]
) -> dict[str, Any]:
    return {
        "height": size[0],
        "width": size[1],
        "phrases": list(phrases),
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
