"""Provides what the commands of ``edge-calibrate`` share: options, model opening, progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from edge.video.geometry import GeometrySettings, geometry_settings

BundleDir = Annotated[
    Path | None, typer.Option("--bundle", help="The model. [default: of --config, else your own]")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Its rules are evaluated.")]
CameraOption = Annotated[
    str | None,
    typer.Option("--camera", help="The camera of --config whose aspect, rotate and fps count."),
]
Engine = Annotated[
    Literal["auto", "openvino", "onnxruntime"] | None,
    typer.Option(help="What computes. [default: as --config says, or auto]"),
]
Precision = Annotated[
    Literal["auto", "int8", "fp16", "fp32"] | None,
    typer.Option(help="Of the image graph. [default: as --config says, or auto]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True, slots=True)
class Look:
    """What the options say about clips and the model, in place of the configuration.

    Attributes:
        usual_fps: Frames per second where neither ``fps`` nor ``camera`` is given.
        fps: Frames per second; None takes the camera's.
        camera: Camera of the configuration that made the clips; None where that is not said.
        geometry: How the pictures are to be seen; what it leaves open is the camera's.
        engine: Engine; None takes that of the configuration.
        precision: Precision; None takes that of the configuration.
    """

    usual_fps: float
    fps: float | None = None
    camera: str | None = None
    geometry: GeometrySettings = field(default_factory=GeometrySettings)
    engine: Literal["auto", "openvino", "onnxruntime"] | None = None
    precision: Literal["auto", "int8", "fp16", "fp32"] | None = None

    def engine_of(self, config: Config) -> EngineConfig:
        """Return the engine settings; the runtime chooses the threads, which change no answer."""
        said = {"kind": self.engine, "precision": self.precision, "threads": 0}
        given = {name: value for name, value in said.items() if value is not None}
        return config.engine.model_copy(update=given)

    def clips_of(self, config: Config) -> tuple[float, GeometrySettings]:
        """Return the frames per second, and how the pictures are to be seen.

        Raises:
            ConfigError: The configuration has no such camera.
        """
        if self.camera is None:
            return self.fps or self.usual_fps, self.geometry
        if self.camera not in config.cameras:
            raise ConfigError(
                f"--camera: expected one of {', '.join(config.cameras)}, found {self.camera!r}"
            )
        camera = config.cameras[self.camera]
        own, said = geometry_settings(camera), self.geometry
        rotate = own.rotate if said.rotate is None else said.rotate
        geometry = GeometrySettings(said.aspect or own.aspect, rotate)
        return self.fps or camera.sample.fps, geometry


@contextmanager
def open_setup(config: Config, look: Look, *, pick: bool = False) -> Iterator[Setup]:
    """Open the model and compile the rules; print the notes for their author.

    Args:
        config: Configuration with the bundle and the rules.
        look: What the options say about clips and the model.
        pick: Whether to leave out rules that cannot be used, with a note.
    """
    fps, geometry = look.clips_of(config)
    bundle = open_bundle(config.bundle, read_keys(config.bundle_keys))
    with open_models(bundle, look.engine_of(config)) as models:
        with models.scoring.open_compiler() as compiler:
            if pick:
                config = _usable(config, compiler)
            bank = compiler(config.prompts, config.background)
        for note in bank.notes:
            typer.echo(f"note: {note}", err=True)
        yield Setup(config, models, bank, fps, geometry)


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
