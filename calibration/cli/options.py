"""Provides what the commands of ``edge-calibrate`` share: options, model opening, progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.replay import Setup
from edge.config.models import Config, EngineConfig
from edge.errors import ConfigError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys
from edge.rules.compiler import Compiler
from edge.scoring.open import open_models
from edge.system.command_line import require

BundleDir = Annotated[
    Path | None, typer.Option("--bundle", help="The model. [default: of --config, else your own]")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Its rules are evaluated.")]
Fps = Annotated[float, typer.Option(help="Frames per second to look at.", min=0.01, max=60)]
Engine = Annotated[Literal["auto", "openvino", "onnxruntime"], typer.Option(help="What computes.")]
Precision = Annotated[
    Literal["auto", "int8", "fp16", "fp32"], typer.Option(help="Of the image graph.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def open_setup(
    config: Config, engine: EngineConfig, fps: float, *, pick: bool = False
) -> Iterator[Setup]:
    """Open the model and compile the rules; print the notes for their author.

    Args:
        config: Configuration with the bundle and the rules.
        engine: Engine settings.
        fps: Frames per second to score.
        pick: Whether to leave out rules that cannot be used, with a note.
    """
    bundle = open_bundle(config.bundle, read_keys(config.bundle_keys))
    with open_models(bundle, engine) as models:
        with models.scoring.open_compiler() as compiler:
            if pick:
                config = _usable(config, compiler)
            bank = compiler(config.prompts, config.background)
        for note in bank.notes:
            typer.echo(f"note: {note}", err=True)
        yield Setup(config, models, bank, fps)


def _usable(config: Config, compiler: Compiler) -> Config:
    prompts = {}
    for name, prompt in config.prompts.items():
        try:
            compiler({name: prompt}, config.background)
        except ConfigError as exc:
            typer.echo(f"note: left out: {exc}", err=True)
        else:
            prompts[name] = prompt
    if not prompts:
        raise ConfigError("expected a labelled prompt that the model can watch for, found none")
    return config.model_copy(update={"prompts": prompts})


@contextmanager
def progress_bar(what: str, steps: int) -> Iterator[Progress]:
    """Show a bar of ``steps`` steps on standard error while the block runs."""
    columns = TextColumn(what), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=steps)
        yield progress


def require_packages() -> None:
    """Check that the packages that a command needs beyond the device's own are installed.

    Raises:
        ConfigError: jinja2 or scipy is not installed.
    """
    require(("jinja2", "scipy"), "evaluates", "calibrate")
