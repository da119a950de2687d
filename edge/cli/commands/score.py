"""The command ``edge score``: scores prompts on a picture, a clip or a camera."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge.cli.commands.picture_options import AspectOption, RotateOption, geometry_of
from edge.cli.plot import check_plot, plot_scores
from edge.cli.score_video import ScoredFrame, length_s, margins_by_prompt, score_frames
from edge.cli.tables import picture_table, summary_table, time_table
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.config.urls import passwords
from edge.errors import ConfigError, SourceError
from edge.model.bundle.read import open_bundle
from edge.rules.temporal.clauses import Seen, clauses, meaning, parse
from edge.scoring.open import open_models
from edge.system import paths
from edge.system.redact import redact, register_secret
from edge.video.sources import is_live, open_source

_LIVE_S = 10.0


def score(  # noqa: PLR0913, PLR0917  options of a command line
    video: Annotated[
        str, typer.Argument(metavar="IMAGE|CLIP|URL", help="A picture, a recording or a camera.")
    ],
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="Sentences.")],
    bundle: Annotated[
        Path | None, typer.Option(help="The model's folder. [default: the user's own]")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames per second to look at.", min=0.01, max=60)] = 2,
    negative: Annotated[
        list[str] | None,
        typer.Option(help="Looks alike, must not count; for all prompts. Repeatable."),
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(help="Nothing of interest; replaces the bundle's. Repeatable."),
    ] = None,
    engine: Annotated[
        Literal["auto", "openvino", "onnxruntime"], typer.Option(help="What computes.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "int8", "fp16", "fp32"], typer.Option(help="Precision of the image graph.")
    ] = "auto",
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds to look at. [default: all; of a camera 10]", min=0),
    ] = None,
    aspect: AspectOption = None,
    rotate: RotateOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the margins over time into this picture.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All margins as JSON.")] = False,
) -> None:
    """Show how well sentences match a picture, a clip or a camera, as the daemon would see it.

    Example: `edge score clip.mp4 "a car on the road" "a person walking" --plot scores.png`

    The margin is the similarity to the sentence minus the best one to the negatives and the
    background; from the bundle's threshold on (green) a frame counts towards an alert.
    """
    for password in passwords(video):
        register_secret(password)
    if duration is None and is_live(video):
        duration = _LIVE_S
    geometry = geometry_of(aspect, rotate)
    if plot is not None:
        check_plot(plot)
    model = open_bundle(bundle or paths.default_bundle())
    threshold = model.manifest.decision.threshold
    rules = _rules(prompts, negative or [])
    with open_models(model, EngineConfig(kind=engine, threads=0, precision=precision)) as models:
        with models.scoring.open_compiler() as compile_prompts:
            bank = compile_prompts(rules, background or None)
        for note in bank.notes:
            typer.echo(f"note: {note}", err=True)
        with open_source(video) as source:
            if source.choice is not None:
                typer.echo(f"note: {source.choice}", err=True)
            length = length_s(source.stream) if duration is None else duration
            scored = score_frames(
                source,
                model.manifest.image,
                models.scoring.scorer,
                bank,
                fps=fps,
                duration_s=duration,
                geometry=geometry,
            )
            frames = list(_with_progress(scored, length))
        used = models.used
    if not frames:
        raise SourceError(
            f"{redact(video)}: expected at least {model.manifest.frames} frames at {fps:g} a "
            f"second, which {model.manifest.name} takes together, found fewer; give a longer clip, "
            "or raise --fps"
        )
    name = redact(video)
    if plot is not None:
        title = f"{Path(name).name}, {model.manifest.name} {used}"
        plot_scores(
            plot, [frame.t for frame in frames], margins_by_prompt(bank, frames), threshold, title
        )
    if as_json:
        typer.echo(json.dumps(_document(bank.names, frames), ensure_ascii=False))
        return
    console = Console(highlight=False)
    seen = f"{len(frames)} frames" if len(frames) > 1 else "one frame"
    console.print(f"{name}: {seen}, {model.manifest.name} {used}, threshold {threshold:g}",
                  markup=False, soft_wrap=True)  # fmt: skip
    if len(frames) == 1:
        console.print(picture_table(bank, frames[0], threshold, model.axes()))
    else:
        console.print(summary_table(bank, frames, threshold))
        console.print(time_table(bank, frames, threshold))


def _rules(prompts: Sequence[str], negatives: Sequence[str]) -> dict[str, PromptConfig]:
    """Return a rule for each prompt, named by its words; a prompt with time becomes its clauses.

    Raises:
        ConfigError: A prompt is empty, or cannot be understood.
    """
    rules = {}
    for prompt in prompts:
        try:
            for clause in _clauses(prompt):
                rules[clause] = PromptConfig(text=(clause,), negatives=tuple(negatives))
        except ValidationError as exc:
            where = "negative" if exc.errors()[0]["loc"][0] == "negatives" else "prompt"
            raise ConfigError(
                f"{where}: expected a sentence, found none; describe what the camera sees"
            ) from None
    return rules


def _clauses(prompt: str) -> tuple[str, ...]:
    expression = parse(prompt)
    if not isinstance(expression, Seen):
        typer.echo(f"note: {prompt!r} is scored by its clauses; the daemon waits for "
                   f"{meaning(expression)}", err=True)  # fmt: skip
    return clauses(expression)


def _with_progress(frames: Iterator[ScoredFrame], length: float | None) -> Iterator[ScoredFrame]:
    """Yield ``frames`` unchanged; show a progress bar on a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("scoring"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=length is None) as progress:
        bar = progress.add_task("scoring", total=length)
        for frame in frames:
            progress.update(bar, completed=frame.t)
            yield frame


def _document(names: Sequence[str], frames: Sequence[ScoredFrame]) -> dict[str, object]:
    return {
        "samples": [
            {
                "t": round(frame.t, 3),
                "scores": {
                    name: round(float(margin), 6)
                    for name, margin in zip(names, frame.margin, strict=True)
                },
            }
            for frame in frames
        ]
    }
