"""Runs the command line ``edge-bench``; only this module of ``edge-bench`` prints or exits.

Exit codes: 0 done, 1 a variant gave wrong answers, 2 a wrong setting or argument, 3 model or
engine, 4 camera or file, 5 broker, 6 disk.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from benchmarks import live, machine, model, pipeline, report, tables
from benchmarks.broker import Address, find_mosquitto, mosquitto, parse_address
from edge.config.models import EngineConfig
from edge.config.urls import passwords
from edge.errors import ConfigError
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import Bundle, open_bundle
from edge.system import command_line, paths
from edge.system.redact import register_secret
from edge.video.sources import open_source

app = command_line.tool(
    "edge-bench", "What a model and a camera cost on this machine, answers checked."
)

# Progress is drawn rarely, and only between timed calls.
_REDRAW_S = 0.2

BundleDir = Annotated[
    Path | None, typer.Option("--bundle", help="The model. [default: as `edge` does]")
]
Device = Annotated[str, typer.Option(help="The runtime's device word.")]
Threads = Annotated[
    int, typer.Option(help="Of the engine; 0 leaves it to the runtime.", min=0, max=256)
]
Rounds = Annotated[int, typer.Option(help="Rounds; their medians show the spread.", min=1)]
Iterations = Annotated[int, typer.Option(help="Calls in a round that count.", min=1)]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the report here; - is standard output.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")]


@app.command("model")
def bench_model(  # noqa: PLR0913, PLR0917 (the command's options)
    bundle: BundleDir = None,
    engine: Annotated[
        str | None, typer.Option(help="Some, such as openvino,onnxruntime. [default: installed]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Some, such as int8,fp32. [default: the bundle's]")
    ] = None,
    device: Device = "CPU",
    threads: Threads = 1,
    batch: Annotated[str, typer.Option(help="Frames a call, such as 1,4,8.")] = "1",
    rounds: Rounds = 10,
    warmup: Annotated[int, typer.Option(help="Calls of a turn that do not count.", min=0)] = 3,
    iterations: Iterations = 10,
    seed: Annotated[int, typer.Option(help="Of the order in each round.")] = 0,
    json: Json = None,
    *,
    markdown: Markdown = False,
) -> None:
    """Time the engine alone: each precision on each installed runtime, in turns.

    Example: `edge-bench model --batch 1,4 --threads 2 --json model.json`
    """
    output = _Output(json, markdown=markdown)
    engines, precisions = _words(engine), _words(precision)
    model.check_names(engines, precisions)
    batches = _numbers(batch)
    opened = open_bundle(bundle or paths.default_bundle())
    main = opened.manifest.graphs[0]
    for wanted in precisions:
        opened.entry(main, cast("Precision", wanted))
    settings = model.ModelSettings(
        engines=engines or model.installed_engines(device),
        precisions=cast("tuple[Precision, ...]", precisions) or opened.precisions(main),
        device=device,
        threads=threads,
        batches=batches,
        rounds=rounds,
        warmup=warmup,
        iterations=iterations,
        seed=seed,
    )
    with _progress("engine", settings.turns) as tick:
        results = model.measure(opened, settings, tick)
    header = output.header("model", opened)
    output.deliver(
        report.to_json(header, settings, {"model": results}),
        [
            report.head(header, tables.model_facts(settings, results)),
            *tables.model_sections(results),
        ],
    )
    if any(variant.status == "failed" for variant in results.variants):
        raise typer.Exit(1)


@app.command("pipeline")
def bench_pipeline(  # noqa: PLR0913, PLR0917 (the command's options)
    video: Annotated[str, typer.Argument(help="A file, or rtsp://… of a camera.")],
    bundle: BundleDir = None,
    engine: Annotated[str, typer.Option(help="One, or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="One, or auto.")] = "auto",
    device: Device = "CPU",
    threads: Threads = 1,
    fps: Annotated[float, typer.Option(help="Frames a second kept.", min=0.01, max=60)] = 2.0,
    frames: Annotated[int, typer.Option(help="Kept frames that count.", min=1)] = 100,
    warmup: Annotated[int, typer.Option(help="Kept frames before them.", min=0)] = 5,
    rounds: Rounds = 10,
    iterations: Iterations = 10,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A sentence; may be repeated. [default: a person]")
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option(help="Broker, host:port. [default: mosquitto if installed]")
    ] = None,
    duration: Annotated[int, typer.Option(help="Seconds that --live measures.", min=1)] = 30,
    state_dir: Annotated[
        Path | None, typer.Option(help="Disk of the outbox. [default: temporary files]")
    ] = None,
    json: Json = None,
    *,
    live_: Annotated[
        bool, typer.Option("--live", help="Also run the daemon on a live camera.")
    ] = False,
    markdown: Markdown = False,
) -> None:
    """Time every stage of a frame's way, and the whole path by the bare engine.

    With `--live` the daemon also runs for real, from RTSP to the broker; a file is then played by
    the test camera.

    Example: `edge-bench pipeline street.mp4 --fps 2 --live --json pipeline.json`
    """
    output = _Output(json, markdown=markdown)
    for secret in passwords(video):
        register_secret(secret)
    config = _engine_config(engine, precision, device, threads)
    with open_source(video):
        pass  # a broken source is reported before models are opened
    prompts = tuple(prompt or ["a person"])
    opened = open_bundle(bundle or paths.default_bundle())
    settings = pipeline.PipelineSettings(
        video, fps, frames, warmup, rounds, iterations, prompts, config
    )
    ran = None
    with ExitStack() as stack:
        broker = _broker(stack, mqtt)
        directory = stack.enter_context(_temporary(state_dir))
        if live_:
            if broker is None:
                raise ConfigError("--live needs a broker: install mosquitto, or give --mqtt")
            live_settings = live.LiveSettings(video, fps, duration, prompts, config)
            with _progress("daemon", live_settings.steps) as tick:
                ran = live.measure(opened, live_settings, broker, directory / "live", tick)
        with _progress("stages", settings.steps) as tick:
            results = pipeline.measure(opened, settings, broker, directory / "stages", tick)
    header = output.header("pipeline", opened)
    output.deliver(
        report.to_json(header, settings, {"pipeline": results, "live": ran}),
        [
            report.head(header, tables.pipeline_facts(settings, results)),
            *tables.pipeline_sections(results, ran),
        ],
    )


@dataclass
class _Output:
    """Output of the report, opened before measuring so that a write error is reported early."""

    json: str | None
    markdown: bool = field(kw_only=True)
    load_before: tuple[float, float, float] = field(default_factory=machine.load_average)

    def __post_init__(self) -> None:
        if self.json not in (None, "-") and not Path(self.json).absolute().parent.is_dir():
            raise ConfigError(f"--json: expected a file in a directory that is there: {self.json}")

    def header(self, bench: str, bundle: Bundle) -> report.Header:
        manifest = bundle.manifest
        return report.Header(
            bench=bench,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=machine.commit(),
            machine=machine.this_machine(),
            load_before=self.load_before,
            load_after=machine.load_average(),
            versions=machine.versions(),
            bundle=report.BundleUsed(
                manifest.name, manifest.model.id, manifest.model.revision, bundle.hash
            ),
            memory=machine.memory(),
        )

    def deliver(self, document: str, sections: Sequence[report.Section]) -> None:
        if self.json == "-":
            typer.echo(document)
            return
        if self.json is not None:
            try:
                Path(self.json).write_text(document + "\n")
            except OSError as exc:
                raise ConfigError(f"--json: {exc}; name a file that can be written") from exc
        if self.markdown:
            typer.echo(report.to_markdown(sections), nl=False)
        else:
            report.show(Console(highlight=False), sections)


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each step."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # Progress has no thread, because a thread would affect the measurement.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        task, drawn = progress.add_task(what, total=steps), 0.0

        def tick() -> None:
            nonlocal drawn
            now = time.monotonic()
            progress.update(task, advance=1, refresh=now >= drawn + _REDRAW_S)
            drawn = now if now >= drawn + _REDRAW_S else drawn

        yield tick


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
    if engine != model.FLOOR:
        model.check_names(_but_auto(engine), _but_auto(precision))
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
    """Run ``edge-bench``; a user's mistake is a message and an exit code, no stack trace."""
    command_line.run("edge-bench", app)
