"""Defines the commands of ``edge-calibrate``; only command modules print or exit."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibration.cli import prompt as prompt_command
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
from calibration.judge import judge
from calibration.labels import Label, read_labels
from calibration.replay import Trace, replay
from calibration.rules import config_of, rules_of
from edge.cli.commands.picture_options import AspectOption, RotateOption, geometry_of
from edge.config.load import load_config
from edge.config.models import Config
from edge.errors import ConfigError
from edge.system import command_line, paths

app = command_line.tool(
    "edge-calibrate", "Alerts against labels: how good the rules are, and how to make them better."
)
app.command("prompt")(prompt_command.sharpen_rule)


@app.command("eval")
def evaluate(  # noqa: PLR0913, PLR0917  options of a command line
    footage: Annotated[Path, typer.Argument(help="Folder of the clips.")],
    events: Annotated[Path, typer.Argument(metavar="EVENTS.json", help="What really happened.")],
    bundle: BundleDir = None,
    config: ConfigFile = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Only this rule or sentence; repeatable. [default: all labelled]"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second to look at. [default: that of --camera, or 2]", min=0.01, max=60
        ),
    ] = None,
    camera: CameraOption = None,
    aspect: AspectOption = None,
    rotate: RotateOption = None,
    repeat: Annotated[int, typer.Option(help="Play each clip so often.", min=1, max=1000)] = 1,
    warm_up: Annotated[
        float,
        typer.Option(
            help="Show unlabelled frames for so many seconds first, to learn thresholds from.",
            min=0,
            max=31 * 86_400,
        ),
    ] = 0.0,
    engine: Engine = None,
    precision: Precision = None,
    out: Annotated[Path | None, typer.Option(help="Write a report, one HTML file.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Play recordings through the daemon's own code and compare its alerts with labels.

    Example: `edge-calibrate eval footage footage/events.json --repeat 3 --out report.html`

    Example: `edge-calibrate eval footage events.json --config edge.yaml --warm-up 86400 --json`
    """
    require_packages()
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out: expected an existing folder, found no {out.parent}")
    labels = read_labels(events, footage)
    rules = _rules(labels, prompt or [], config, bundle)
    if camera is not None and config is None:
        raise ConfigError("--camera: expected --config beside it, found none")
    look = Look(2.0, fps, camera, geometry_of(aspect, rotate), engine, precision)
    # A sentence that comes only from a label may be one that the model cannot watch for.
    with open_setup(rules, look, pick=config is None and not prompt) as setup:
        by_rule = rules_of(labels, setup.config.prompts)
        wanted = _clips(labels, by_rule)
        if not wanted:
            raise ConfigError(
                f"{events}: expected labels of the rules {', '.join(rules.prompts)}, found none; "
                "a label's prompt is a rule's name or sentence"
            )
        _refuse_unlabelled(prompt or [], by_rule, rules)
        for name in by_rule.values():
            rule = rules.prompts[name]
            if rule.zones or rule.crop or rule.kind == "clip":
                typer.echo(f"note: rule {name!r}: its second look is not asked here", err=True)
        traces: list[Trace] = []
        with progress_bar("clips", len(wanted) * repeat) as progress:
            for clip, own in wanted.items():
                traces += replay(
                    footage / clip,
                    own,
                    setup,
                    repeat=repeat,
                    warm_up_s=warm_up,
                    on_pass=lambda: progress.advance(progress.task_ids[0]),
                )
        model = f"{setup.models.bundle.manifest.name} {setup.models.used}"
    evaluation = report.Evaluation(
        model=model,
        fps=setup.fps,
        passes=repeat,
        warm_up_s=warm_up,
        left_out=tuple(dict.fromkeys(x.prompt for x in labels if x.prompt not in by_rule)),
        traces=tuple(traces),
        judgements=tuple(judge([trace], repeat) for trace in traces),
        rules=tuple(
            judge([trace for trace in traces if trace.rule == rule], repeat)
            for rule in dict.fromkeys(trace.rule for trace in traces)
        ),
        total=judge(traces, repeat),
    )
    if out is not None:
        report.write(out, report.to_html(evaluation))
    if as_json:
        typer.echo(json.dumps(report.to_json(evaluation), ensure_ascii=False, allow_nan=False))
        return
    console = Console(highlight=False)
    console.print(f"{model}, {setup.fps:g} frames a second, passes: {repeat}", markup=False)
    console.print(judgement_table([*evaluation.judgements, evaluation.total]))
    if out is not None:
        console.print(f"report: {out}", markup=False, soft_wrap=True)


def _rules(
    labels: Sequence[Label], prompts: Sequence[str], config: Path | None, bundle: Path | None
) -> Config:
    """Return the rules to evaluate: those of a configuration, or one for each labelled sentence."""
    if config is None:
        sentences = prompts or list(dict.fromkeys(label.prompt for label in labels))
        return config_of(sentences, bundle or paths.default_bundle())
    rules = load_config(config)
    if prompts:
        if unknown := [word for word in prompts if not _meant(word, rules)]:
            raise ConfigError(
                f"--prompt: expected rules of {config}, found {', '.join(unknown)}; "
                f"there are {', '.join(rules.prompts)}"
            )
        wanted = set().union(*(_meant(word, rules) for word in prompts))
        chosen = {name: rule for name, rule in rules.prompts.items() if name in wanted}
        rules = rules.model_copy(update={"prompts": chosen})
    return rules if bundle is None else rules.model_copy(update={"bundle": bundle})


def _refuse_unlabelled(wanted: Sequence[str], by_rule: Mapping[str, str], rules: Config) -> None:
    """Refuse a wanted rule or sentence that no label means: it would be left out in silence."""
    for word in wanted:
        if not _meant(word, rules) & set(by_rule.values()):
            raise ConfigError(f"--prompt: expected labels of {word!r}, found none")


def _meant(word: str, rules: Config) -> set[str]:
    """Return the rules of this name or sentence."""
    return {name for name, rule in rules.prompts.items() if word == name or word in rule.text}


def _clips(labels: Sequence[Label], rules: dict[str, str]) -> dict[str, dict[str, list[Label]]]:
    """Return the labels by clip and rule."""
    clips: dict[str, dict[str, list[Label]]] = {}
    for label in labels:
        if label.prompt in rules:
            own = clips.setdefault(label.clip, {})
            own.setdefault(rules[label.prompt], []).append(label)
    return clips
