"""Runs the command line ``edge-bench``: reads options, measures, writes the report.

Exit codes: 0 done, 1 a variant gave wrong answers, 2 a wrong setting or argument, 3 model or
engine, 4 camera or file, 5 broker, 6 disk.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from benchmarks.measuring.broker import Address, find_mosquitto, mosquitto, parse_address
from benchmarks.model import measure as model
from benchmarks.model.results import FLOOR, ModelSettings
from benchmarks.model.variants import check_names, installed_engines
from benchmarks.pipeline import live
from benchmarks.pipeline import measure as pipeline
from benchmarks.pipeline.results import PipelineSettings
from benchmarks.report import document, tables
from benchmarks.report.output import Output, progress
from edge.config.models import EngineConfig
from edge.config.urls import passwords
from edge.errors import ConfigError
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import open_bundle
from edge.system import command_line, paths
from edge.system.command_line import refuse_written
from edge.system.redact import register_secret
from edge.video.sources import open_source

app = command_line.tool(
    "edge-bench", "What a model and a camera cost on this machine, answers checked."
)

BundleDir = Annotated[
    Path | None, typer.Option("--bundle", help="The model. [default: the one that `edge` finds]")
]
Device = Annotated[
    str, typer.Option(help="Device, in the word of the runtime, such as CPU or GPU.")
]
Threads = Annotated[
    int,
    typer.Option(help="Threads of the engine; 0 leaves the choice to the runtime.", min=0, max=256),
]
Rounds = Annotated[
    int, typer.Option(help="Number of rounds; the range of their medians is shown.", min=1)
]
Iterations = Annotated[int, typer.Option(help="Calls in a round that count.", min=1)]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the report here; - is standard output.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")]


@app.command("model")
def bench_model(  # noqa: PLR0913, PLR0917 (the command's options)
    context: typer.Context,
    bundle: BundleDir = None,
    engine: Annotated[
        str | None, typer.Option(help="Engines, such as openvino,onnxruntime. [default: installed]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Precisions, such as int8,fp32. [default: the bundle's]")
    ] = None,
    device: Device = "CPU",
    threads: Threads = 1,
    batch: Annotated[str, typer.Option(help="Frames per call, such as 1,4,8.")] = "1",
    rounds: Rounds = 10,
    warmup: Annotated[int, typer.Option(help="Calls of a turn that do not count.", min=0)] = 3,
    iterations: Iterations = 10,
    seed: Annotated[int, typer.Option(help="Seed of the order in each round.")] = 0,
    json: Json = None,
    *,
    markdown: Markdown = False,
) -> None:
    """Time the engine alone: each precision on each installed runtime, in turns.

    Example: `edge-bench model --batch 1,4 --threads 2 --json model.json`
    """
    output = _output(context, json, markdown=markdown)
    engines, precisions = _words(engine), _words(precision)
    check_names(engines, precisions)
    batches = _numbers(batch)
    opened = open_bundle(bundle or paths.default_bundle())
    main = opened.manifest.graphs[0]
    for wanted in precisions:
        opened.entry(main, cast("Precision", wanted))
    settings = ModelSettings(
        engines=engines or installed_engines(device),
        precisions=cast("tuple[Precision, ...]", precisions) or opened.precisions(main),
        device=device,
        threads=threads,
        batches=batches,
        rounds=rounds,
        warmup=warmup,
        iterations=iterations,
        seed=seed,
    )
    with progress("engine", settings.turns) as tick:
        results = model.measure(opened, settings, tick)
    header = output.header("model", opened)
    output.deliver(
        document.to_json(header, settings, {"model": results}),
        [
            document.head(header, tables.model_facts(settings, results)),
            *tables.model_sections(results),
        ],
    )
    if any(variant.status == "failed" for variant in results.variants):
        raise typer.Exit(1)


@app.command("pipeline")
def bench_pipeline(  # noqa: PLR0913, PLR0917 (the command's options)
    context: typer.Context,
    video: Annotated[str, typer.Argument(help="A file, or the rtsp:// URL of a camera.")],
    bundle: BundleDir = None,
    engine: Annotated[str, typer.Option(help="One engine, or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="One precision, or auto.")] = "auto",
    device: Device = "CPU",
    threads: Threads = 1,
    fps: Annotated[float, typer.Option(help="Kept frames per second.", min=0.01, max=60)] = 2.0,
    frames: Annotated[int, typer.Option(help="Kept frames that count.", min=1)] = 100,
    warmup: Annotated[
        int, typer.Option(help="Kept frames before them that do not count.", min=0)
    ] = 5,
    rounds: Rounds = 10,
    iterations: Iterations = 10,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A sentence; can be repeated. [default: a person]")
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option(help="Broker, host:port. [default: mosquitto if installed]")
    ] = None,
    duration: Annotated[int, typer.Option(help="Seconds that --live measures.", min=1)] = 30,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Folder on the disk of the outbox. [default: temporary files]"),
    ] = None,
    json: Json = None,
    *,
    live_: Annotated[
        bool, typer.Option("--live", help="Also run the daemon on a live camera.")
    ] = False,
    markdown: Markdown = False,
) -> None:
    """Time every stage of a frame's way, and the whole path against the bare engine.

    With `--live` the daemon also runs on a live camera, from RTSP to the broker; the test camera
    plays a file for it.

    Example: `edge-bench pipeline street.mp4 --fps 2 --live --json pipeline.json`
    """
    output = _output(context, json, markdown=markdown)
    if not live_:
        refuse_written(context, {"duration"}, "expected --live beside it, found none")
    for secret in passwords(video):
        register_secret(secret)
    config = _engine_config(engine, precision, device, threads)
    with open_source(video):
        pass  # reports a broken source before the models are opened
    prompts = tuple(prompt or ["a person"])
    opened = open_bundle(bundle or paths.default_bundle())
    settings = PipelineSettings(video, fps, frames, warmup, rounds, iterations, prompts, config)
    ran = None
    with ExitStack() as stack:
        broker = _broker(stack, mqtt)
        directory = stack.enter_context(_temporary(state_dir))
        if live_:
            if broker is None:
                raise ConfigError("--live needs a broker: install mosquitto, or give --mqtt")
            live_settings = live.LiveSettings(video, fps, duration, prompts, config)
            with progress("daemon", live_settings.steps) as tick:
                ran = live.measure(opened, live_settings, broker, directory / "live", tick)
        with progress("stages", settings.steps) as tick:
            results = pipeline.measure(opened, settings, broker, directory / "stages", tick)
    header = output.header("pipeline", opened)
    output.deliver(
        document.to_json(header, settings, {"pipeline": results, "live": ran}),
        [
            document.head(header, tables.pipeline_facts(settings, results)),
            *tables.pipeline_sections(results, ran),
        ],
    )


def _output(context: typer.Context, json: str | None, *, markdown: bool) -> Output:
    if json == "-":
        refuse_written(context, {"markdown"}, "standard output has the document of --json -")
    return Output(json, markdown=markdown)


@contextmanager
def _temporary(parent: Path | None) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="edge-bench-", dir=parent) as directory:
            yield Path(directory)
    except FileNotFoundError as exc:
        raise ConfigError(f"--state-dir: expected a directory, found: {exc}") from exc


def _broker(stack: ExitStack, mqtt: str | None) -> Address | None:
    if mqtt is not None:
        return parse_address(mqtt)
    program = find_mosquitto()
    return None if program is None else stack.enter_context(mosquitto(program))


def _engine_config(engine: str, precision: str, device: str, threads: int) -> EngineConfig:
    if engine != FLOOR:
        check_names(_but_auto(engine), _but_auto(precision))
    settings: dict[str, Any] = {"kind": engine, "device": device, "threads": threads}
    return EngineConfig.model_validate({**settings, "precision": precision})


def _but_auto(word: str) -> tuple[str, ...]:
    return () if word == "auto" else (word,)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isascii() and word.isdigit() and int(word) for word in words):
        raise ConfigError(f"--batch: expected numbers from 1, such as 1,4,8, found {text!r}")
    return tuple(dict.fromkeys(map(int, words)))


def main() -> None:
    """Run ``edge-bench``; for an error of the user, print a message and exit with its code."""
    command_line.run("edge-bench", app)
