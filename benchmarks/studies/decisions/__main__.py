"""Measures how far alert decisions move when light, encoder or precision changes.

``python -m benchmarks.studies.decisions FOOTAGE`` scores every labelled clip unchanged, darker,
brighter, with other gammas, encoded anew, and with the INT8 graph (``versions``), and decides with
several methods (``methods``).

Each method is compared with its own decisions on the unchanged clip in float, by sample and by
event, and with the labels. Clips are played in two passes that sample different frames.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.studies.decisions.changes import records, summed, table
from benchmarks.studies.decisions.methods import Decided, decide_all
from benchmarks.studies.decisions.versions import FPS, score_versions
from calibration.cli.options import Look, open_setup
from calibration.labels import Label, read_labels
from calibration.rules import config_of, rules_of
from edge.config.models import EngineConfig
from edge.scoring.open import open_models
from edge.system import paths


def main(
    footage: Annotated[Path, typer.Argument(help="Folder with clips and events.json.")],
    bundle: Annotated[Path | None, typer.Option(help="The model.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure how far decisions move between versions of the same footage."""
    labels = read_labels(footage / "events.json", footage)
    config = config_of(
        dict.fromkeys(label.prompt for label in labels), bundle or paths.default_bundle()
    )
    found: dict[tuple[str, str], list[tuple[str, Decided, Decided]]] = {}
    with (
        open_setup(config, Look(FPS, precision="fp32"), pick=True) as setup,
        open_models(setup.models.bundle, EngineConfig(precision="int8", threads=0)) as quantized,
    ):
        int8 = replace(setup, models=quantized)
        rules = rules_of(labels, setup.config.prompts)
        clips = list(dict.fromkeys(x.clip for x in labels if x.prompt in rules))
        for clip in track(clips, "clips", console=Console(stderr=True)):
            own: dict[str, list[Label]] = {}
            for label in labels:
                if label.clip == clip and label.prompt in rules:
                    own.setdefault(rules[label.prompt], []).append(label)
            versions = dict(score_versions(footage / clip, setup, int8))
            for version, method, rule, now, before in decide_all(
                versions, own, setup, footage / clip
            ):
                found.setdefault((version, method), []).append((rule, now, before))
    every = {key: summed([case[1:] for case in cases]) for key, cases in found.items()}
    each = {
        rule: {
            key: summed([case[1:] for case in cases if case[0] == rule])
            for key, cases in found.items()
        }
        for rule in setup.config.prompts
        if any(case[0] == rule for case in next(iter(found.values())))
    }
    if as_json:
        typer.echo(
            json.dumps({"all": records(every), "rules": {r: records(m) for r, m in each.items()}})
        )
        return
    console = Console()
    console.print(table("All rules; --json has each", every))


if __name__ == "__main__":
    typer.run(main)
