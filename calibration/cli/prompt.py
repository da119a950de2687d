"""Defines ``edge-calibrate prompt``, which sharpens a rule by a few examples if they help."""

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from calibration.cli import report
from calibration.cli.options import (
    BundleDir,
    CameraOption,
    ConfigFile,
    Engine,
    Json,
    Look,
    Precision,
    open_setup,
    progress_bar,
    require_packages,
)
from calibration.cli.tables import judgement_table
from calibration.edit import put, sharpened_line, take
from calibration.judge import Judgement, judge
from calibration.replay import Setup, Trace, replay
from calibration.rules import config_of
from calibration.sharpen import events_of, shots_of
from edge.cli.commands.picture_options import AspectOption, RotateOption, geometry_of
from edge.config.load import load_config
from edge.config.models import Config
from edge.config.prompt import PromptConfig, SharpenedConfig
from edge.control.learning.teacher import record_of, rows_of
from edge.errors import ConfigError
from edge.rules.sharpen import Lesson, Proof, sharpen
from edge.system import paths
from edge.system.atomic_file import write_atomically
from edge.system.command_line import refuse_written

_BEFORE, _AFTER = "before", "after"
# Parameters that count with --undo.
_UNDO = {"undo", "config", "name", "verbose"}


def sharpen_rule(  # noqa: PLR0913, PLR0917  options of a command line
    context: typer.Context,
    clip: Annotated[
        Path | None, typer.Argument(metavar="CLIP", help="A recording; not with --undo.")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="Where it is to be seen, such as 4.4-8.5. Repeatable.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="The rule's sentence; repeatable for synonyms.")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(help="Looks alike, must not count. Repeatable.")
    ] = None,
    bundle: BundleDir = None,
    config: ConfigFile = None,
    name: Annotated[str | None, typer.Option(help="The rule in --config.")] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second to look at. [default: that of --camera, or 4]", min=0.01, max=60
        ),
    ] = None,
    camera: CameraOption = None,
    aspect: AspectOption = None,
    rotate: RotateOption = None,
    engine: Engine = None,
    precision: Precision = None,
    out: Annotated[Path | None, typer.Option(help="Write before and after, one HTML file.")] = None,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Write it into --config.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out of --config again.")] = False,
    as_json: Json = False,
) -> None:
    """Weigh a rule's sentences and move its threshold by a few events in a clip.

    Example: `edge-calibrate prompt yard.mp4 --event 4.4-8.5 --event 14.5-18.9 --text "a car"`

    Example: `edge-calibrate prompt yard.mp4 --event 4-8 --event 14-18 --config edge.yaml --name car
    --apply`

    Example: `edge-calibrate prompt --config edge.yaml --name car --undo`

    Whether it helps is judged on each event by what the others taught; where it does not, nothing
    is changed and the exit code is 1.
    """
    require_packages()
    if (apply or undo) and (config is None or name is None):
        raise ConfigError("--apply and --undo need --config and --name: which file, which rule")
    _refuse_ignored(context, config, undo=undo)
    if undo and config is not None and name is not None:
        _rewrite(config, take(_read(config), name))
        typer.echo(f"{config}: prompt {name!r} is as before")
        return
    if clip is None or not event:
        raise ConfigError("expected a clip and events in it, such as yard.mp4 --event 4.4-8.5")
    rules, rule, prompt = _rule(config, name, text or [], negative or [], bundle)
    events = events_of(clip, event, rule)
    look = Look(4.0, fps, camera, geometry_of(aspect, rotate), engine, precision)
    with open_setup(rules, look) as setup:
        shots = shots_of(clip, events, setup)
        rows = rows_of(setup.models, setup.bank, rule, prompt)
        decision = setup.models.bundle.manifest.decision
        threshold = decision.threshold if prompt.threshold is None else prompt.threshold
        try:
            lesson = sharpen(rows, shots, threshold)
        except ValueError as exc:
            raise ConfigError(f"--event: {exc}") from exc
        record = None if lesson.change is None else record_of(lesson.change)
        traces = _replayed(clip, events_of(clip, event, rule), setup, prompt, record)
    judgements = [replace(judge([trace], 1), text=trace.rule) for trace in traces]
    if out is not None:
        report.write(out, report.to_html(_evaluation(setup, traces, judgements)))
    if as_json:
        typer.echo(json.dumps(_document(lesson, record, judgements), allow_nan=False))
    else:
        _show(prompt, lesson, record, judgements, setup.models.bundle.manifest.text.templates)
    if record is None:
        raise typer.Exit(1)
    if apply and config is not None:
        _rewrite(config, put(_read(config), rule, record))
        typer.echo(f"{config}: prompt {rule!r} is sharpened; --undo takes it back", err=as_json)


def _refuse_ignored(context: typer.Context, config: Path | None, *, undo: bool) -> None:
    if config is None:
        refuse_written(context, {"name", "camera"}, "expected --config beside it, found none")
    if undo:
        others = {option.name for option in context.command.params if option.name} - _UNDO
        refuse_written(context, others, "--undo takes --config and --name only")


def _rule(
    config: Path | None, name: str | None, texts: list[str], negatives: list[str],
    bundle: Path | None,
) -> tuple[Config, str, PromptConfig]:  # fmt: skip
    """Return the rule alone in a configuration, without its earlier examples."""
    if config is None:
        if not texts:
            raise ConfigError("expected --text with the rule's sentence, or --config and --name")
        rules = config_of(texts[:1], bundle or paths.default_bundle(), negatives=negatives)
        name = next(iter(rules.prompts))
        given = {"text": texts, "negatives": negatives}
        rule = PromptConfig.model_validate(given)
    else:
        if texts or negatives:
            raise ConfigError("--text and --negative: the sentences are those of --config")
        rules = load_config(config)
        if name not in rules.prompts:
            raise ConfigError(
                f"--name: expected one of {config}'s prompts {', '.join(rules.prompts)}, "
                f"found {name!r}"
            )
        rule = rules.prompts[name].model_copy(update={"sharpened": None})
    changes: dict[str, Any] = {"prompts": {name: rule}}
    if bundle is not None:
        changes["bundle"] = bundle
    return rules.model_copy(update=changes), name, rule


def _replayed(
    clip: Path, events: Any, setup: Setup, prompt: PromptConfig, record: SharpenedConfig | None
) -> list[Trace]:
    """Return the alerts of the rule on the clip, and those of the sharpened rule."""
    prompts = {_BEFORE: prompt}
    if record is not None:
        prompts[_AFTER] = prompt.model_copy(update={"sharpened": record})
    with setup.models.scoring.open_compiler() as compiler:
        bank = compiler(prompts, setup.config.background)
    both = replace(setup, config=setup.config.model_copy(update={"prompts": prompts}), bank=bank)
    with progress_bar("before and after", 1):
        return replay(clip, dict.fromkeys(prompts, events), both)


def _evaluation(
    setup: Setup, traces: list[Trace], judgements: list[Judgement]
) -> report.Evaluation:
    return report.Evaluation(
        model=f"{setup.models.bundle.manifest.name} {setup.models.used}",
        fps=setup.fps,
        passes=1,
        warm_up_s=0.0,
        left_out=(),
        traces=tuple(traces),
        judgements=tuple(judgements),
        rules=tuple(judgements[:-1]),
        total=judgements[-1],
    )


def _document(
    lesson: Lesson, record: SharpenedConfig | None, judgements: list[Judgement]
) -> dict[str, Any]:
    return {
        "helps": record is not None,
        "sharpened": None if record is None else record.model_dump(exclude_defaults=True),
        "left_out": {_BEFORE: asdict(lesson.before), _AFTER: asdict(lesson.after)},
        "clip": [report.judgement_json(judgement) for judgement in judgements],
    }


def _show(
    prompt: PromptConfig,
    lesson: Lesson,
    record: SharpenedConfig | None,
    judgements: list[Judgement],
    templates: tuple[str, ...],
) -> None:
    console = Console(highlight=False)
    console.print("Each event by what the others taught:")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "samples seen", "others quiet", "right"):
        table.add_column(column)
    for word, proof in ((_BEFORE, lesson.before), (_AFTER, lesson.after)):
        table.add_row(word, *_shares(proof))
    console.print(table)
    if record is None:
        console.print("These examples do not help: the rule stays as it is.")
        return
    weighed = (
        ("text", prompt.text, record.texts),
        ("template", templates, record.templates),
        ("negative", prompt.negatives, record.negatives),
    )
    for kind, sentences, weights in weighed:
        if len(weights) > 1:
            for weight, sentence in sorted(zip(weights, sentences, strict=True), reverse=True):
                console.print(Text(f"{kind} {weight:5.2f}  {sentence}"))
    console.print("The whole clip, these events among it:")
    console.print(judgement_table(judgements))
    console.print(Text(sharpened_line(record)), soft_wrap=True)


def _shares(proof: Proof) -> tuple[str, str, str]:
    return f"{proof.seen:.0%}", f"{proof.quiet:.0%}", f"{proof.rightness:.1%}"


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot read it: {exc}") from exc


def _rewrite(path: Path, text: str) -> None:
    """Replace the file atomically and keep its permissions."""
    target = path.resolve()
    try:
        write_atomically(target, text.encode(), mode=stat.S_IMODE(target.stat().st_mode))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot write it: {exc.strerror}") from exc
