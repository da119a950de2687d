"""Measures how far alert decisions move when light, encoder or precision changes.

``python -m benchmarks.decisions FOOTAGE`` scores every labelled clip unchanged, darker, brighter,
with other gammas, encoded anew, and with the INT8 graph, and decides in several ways:

* ``cosine, fixed``: by the similarity itself, as a slider in other software does. Its threshold is
  set on the unchanged clip, for each rule and clip, so that as many samples are hits as by margin;
* ``margin, fixed``: the bundle's threshold on the margin;
* ``margin, baseline``: that threshold moved by as much as the variant's ordinary (unlabelled)
  margins have moved, as the baseline of ``edge.alerts.null`` does within half an hour;
* ``margin, tail``: a tail (``null/tail.py``) is fitted to the variant's ordinary margins above
  their median; it exceeds the threshold as rarely as the unchanged clip's exceeds the bundle's.

The daemon learns from at least a hundred peaks, over hours; these clips last seconds, and on them
it keeps the bundle's threshold. The last two ways show what its parts would do with so little
data. Rules with fewer than twenty ordinary samples keep the bundle's threshold.

Each way is compared with its own decisions on the unchanged clip in float, by sample and by event,
and with the labels. Clips are played in two passes that sample different frames.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.looks import FPS, PASSES, REFERENCE, VARIANTS, Look, looks
from calibration.judge import Judgement, events_of, judge
from calibration.labels import Label, read_labels
from calibration.options import open_setup
from calibration.replay import Alerted, Setup, Trace, clip_s
from calibration.rules import config_of, rules_of
from edge.alerts.events import EventMachine, Rule
from edge.alerts.null.tail import Tail, fit
from edge.config.models import EngineConfig
from edge.scoring.open import open_models
from edge.system import paths
from edge.video.sample import Arrival

# Minimum ordinary samples of a clip for a threshold of its own.
_FEWEST: Final = 20
METHODS: Final = ("cosine, fixed", "margin, fixed", "margin, baseline", "margin, tail")


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """Result of one way of deciding on a variant, over rules and clips.

    Attributes:
        samples: Number of compared samples.
        agreeing: Number of samples that are hits in both or in neither.
        lost: Number of events hit on the unchanged clip and missed here.
        gained: Number of events missed on the unchanged clip and hit here.
        verdict: Comparison with the labels.
    """

    samples: int
    agreeing: int
    lost: int
    gained: int
    verdict: Judgement


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions for one rule on one clip: hits [n] and the trace."""

    hits: NDArray[np.bool_]
    trace: Trace
    passes: int


def decide(
    rule: Rule, values: NDArray[np.float64], times: NDArray[np.float64], trace: Trace
) -> Decided:
    """Decide with the event machine."""
    machine = EventMachine(rule)
    alerts: list[Alerted] = []
    for at, value in zip(times, values, strict=True):
        moment = Arrival(float(at), float(at), None)
        for transition in machine.step(float(value), 0.0, moment):
            if transition.type == "start":
                alerts.append(Alerted(transition.started_at, transition.at))
            elif transition.type == "end":
                alerts[-1] = replace(alerts[-1], ended_s=transition.ended_at)
    told = replace(trace, alerts=alerts, times=list(times), margins=list(values))
    return Decided(values >= rule.threshold, told, PASSES)


def by_baseline(
    here: NDArray[np.float64], unchanged: NDArray[np.float64], threshold: float
) -> float:
    """Return the threshold as far above margins ``here`` [n] as it is above ``unchanged`` [m]."""
    if min(len(here), len(unchanged)) < _FEWEST:
        return threshold
    return threshold + float(here.mean() - unchanged.mean())


def by_tail(here: NDArray[np.float64], unchanged: NDArray[np.float64], threshold: float) -> float:
    """Return the threshold that margins ``here`` [n] exceed as rarely as ``unchanged`` [m] theirs.

    A threshold below the ordinary margins moves with their median.
    """
    if min(len(here), len(unchanged)) < _FEWEST:
        return threshold
    (there, before), (base, tail) = (_tail(values) for values in (unchanged, here))
    if before is None or tail is None or threshold <= there:
        return base + threshold - there
    hazard = float(before.hazards(np.array([threshold - there]))[0])
    return base + tail.excess(hazard)


def _tail(values: NDArray[np.float64]) -> tuple[float, Tail | None]:
    base = float(np.median(values))
    excesses = values[values > base] - base
    if len(excesses) < 2:
        return base, None
    return base, fit(excesses, np.full(len(excesses), np.inf), np.ones(len(excesses)))


def compare(
    by_variant: Mapping[str, Look], labels: Mapping[str, Sequence[Label]], setup: Setup, clip: Path
) -> Iterator[tuple[str, str, str, Decided, Decided]]:
    """Yield variant, method, rule, and the decisions on the variant and on the unchanged clip."""
    base = by_variant[REFERENCE]
    decision = setup.models.bundle.manifest.decision
    pass_s = clip_s(clip, FPS)
    for name, own in labels.items():
        column = setup.bank.names.index(name)
        rule = Rule.of(setup.config.prompts[name], decision, FPS)
        trace = Trace(clip.name, name, setup.config.prompts[name].text[0], tuple(own), pass_s)
        hits = (base.margin[:, column] >= rule.threshold).mean()
        # A rank, so that ties do not matter: as many samples are hits by cosine as by margin.
        level = float(np.quantile(base.cosine[:, column], 1 - hits, method="higher"))
        raw = replace(rule, threshold=level)
        unchanged: dict[str, Decided] = {}
        for variant in (REFERENCE, *VARIANTS):
            look = by_variant[variant]
            ordinary = (
                look.margin[_ordinary(look.times, trace), column],
                base.margin[_ordinary(base.times, trace), column],
                rule.threshold,
            )
            moved, rare = by_baseline(*ordinary), by_tail(*ordinary)
            ways: dict[str, tuple[Rule, NDArray[np.float64]]] = {
                METHODS[0]: (raw, look.cosine[:, column]),
                METHODS[1]: (rule, look.margin[:, column]),
                METHODS[2]: (replace(rule, threshold=moved), look.margin[:, column]),
                METHODS[3]: (replace(rule, threshold=rare), look.margin[:, column]),
            }
            for method, (used, values) in ways.items():
                decided = decide(used, values, look.times, trace)
                unchanged.setdefault(method, decided)
                yield variant, method, name, decided, unchanged[method]


def _ordinary(times: NDArray[np.float64], trace: Trace) -> NDArray[np.bool_]:
    within = times % trace.pass_s
    labelled = np.zeros(len(times), bool)
    for label in trace.labels:
        labelled |= (within >= label.span[0]) & (within <= label.span[1])
    return ~labelled


def summed(cases: Sequence[tuple[Decided, Decided]]) -> DecisionChange:
    """Sum up the decisions over rules and clips."""
    samples = agreeing = lost = gained = 0
    for now, before in cases:
        order = np.abs(
            np.subtract.outer(np.array(now.trace.times), np.array(before.trace.times))
        ).argmin(axis=1)  # a clip encoded anew may have a frame more or less
        samples += len(order)
        agreeing += int((now.hits == before.hits[order]).sum())
        pairs = zip(events_of(now.trace, PASSES), events_of(before.trace, PASSES), strict=True)
        for here, there in pairs:
            lost += here.alert is None and there.alert is not None
            gained += here.alert is not None and there.alert is None
    verdict = judge([now.trace for now, _ in cases], PASSES)
    return DecisionChange(samples, agreeing, lost, gained, verdict)


def table(title: str, rows: Mapping[tuple[str, str], DecisionChange]) -> Table:
    """Return a table with a row for each variant and method."""
    result = Table(title=title)
    for column in ("variant", "decided on", "samples alike", "events hit", "lost", "gained",
                   "false alarms", "under alert"):  # fmt: skip
        result.add_column(column)
    for (variant, method), moved in rows.items():
        under = moved.verdict.under_alert
        result.add_row(
            variant,
            method,
            f"{moved.agreeing / moved.samples:.1%}",
            f"{moved.verdict.recall.count}/{moved.verdict.recall.of}",
            str(moved.lost),
            str(moved.gained),
            str(moved.verdict.false_alarms.count),
            "" if under is None else f"{under:.0%}",
        )
    return result


def main(
    footage: Annotated[Path, typer.Argument(help="Folder with clips and events.json.")],
    bundle: Annotated[Path | None, typer.Option(help="The model.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure how far decisions move between variants of the same footage."""
    labels = read_labels(footage / "events.json", footage)
    config = config_of(
        dict.fromkeys(label.prompt for label in labels), bundle or paths.default_bundle()
    )
    found: dict[tuple[str, str], list[tuple[str, Decided, Decided]]] = {}
    engine = EngineConfig(precision="fp32", threads=0)
    with (
        open_setup(config, engine, FPS, pick=True) as setup,
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
            by_variant = dict(looks(footage / clip, setup, int8))
            for variant, method, rule, now, before in compare(
                by_variant, own, setup, footage / clip
            ):
                found.setdefault((variant, method), []).append((rule, now, before))
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
            json.dumps({"all": _told(every), "rules": {r: _told(m) for r, m in each.items()}})
        )
        return
    console = Console()
    console.print(table("All rules; --json has each", every))


def _told(rows: Mapping[tuple[str, str], DecisionChange]) -> list[dict[str, object]]:
    return [
        {
            "variant": variant,
            "method": method,
            "samples": moved.samples,
            "agreeing": moved.agreeing,
            "lost": moved.lost,
            "gained": moved.gained,
            "hit": moved.verdict.recall.count,
            "events": moved.verdict.recall.of,
            "false": moved.verdict.false_alarms.count,
            "under_alert": moved.verdict.under_alert,
        }
        for (variant, method), moved in rows.items()
    ]


if __name__ == "__main__":
    typer.run(main)
