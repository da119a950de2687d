"""Plays recordings through the daemon's own pipeline, as fast as the model computes.

The daemon's code decodes, samples, scores and watches each clip; only the clock is the stream's.
A clip may be played several times: as with a live camera, each pass samples at other times between
the frames.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from calibration.labels import Label
from calibration.rules import CAMERA, alone
from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.cli.score_video import begin_s, length_s
from edge.config.models import Config
from edge.delivery.payloads import AlertPayload
from edge.resources import model_ref
from edge.rules.bank import PromptBank
from edge.scoring.open import Models
from edge.scoring.scorers.base import Scored
from edge.video.decode import Decoder, kept_frames
from edge.video.geometry import GeometrySettings
from edge.video.preprocess import Preprocessor
from edge.video.sample import Arrival, Sample
from edge.video.sampler import Sampler
from edge.video.sources import open_source

# Golden section: it spreads the phases of any number of passes evenly.
_SPREAD: Final = 0.618034
# An arbitrary day, because a clip does not say on which day it was made.
_EPOCH: Final = 1_750_000_000.0
# Maximum samples held for the warm-up, from the beginning of the clip; 0.4 MB each.
_WARM_SAMPLES: Final = 600
# Gap between the warm-up and the first pass, so that the warm-up cannot affect the pass.
_PAUSE_S: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One sample and its scores.

    Attributes:
        t: Seconds from the beginning of the clip.
    """

    t: float
    sample: Sample
    scored: Scored


@dataclass(frozen=True, slots=True)
class Alerted:
    """Alert in seconds of the timeline: passes follow each other, and the first begins at 0.

    Attributes:
        started_s: Time of the first sample that counted.
        told_s: Time at which the alert was published.
        ended_s: Time of the last sample that held it; None if the footage ended before the alert.
    """

    started_s: float
    told_s: float
    ended_s: float | None = None


@dataclass(slots=True, eq=False)
class Trace:
    """Record of one rule on one clip.

    Attributes:
        clip: File name.
        rule: Name of the rule.
        text: Sentence of the rule.
        labels: Events of this rule that really happened in the clip.
        pass_s: Length of the clip, seconds.
        times: Time of each sample, seconds of the timeline, ascending.
        margins: Margin of each sample.
        thresholds: Threshold in force at each sample.
        alerts: Alerts in the order of time.
        state: Origin of the threshold: ``fixed``, ``prior`` or ``learned``.
        asked: False alarms per day that the rule allows; None if its threshold is fixed.
    """

    clip: str
    rule: str
    text: str
    labels: tuple[Label, ...]
    pass_s: float = 0.0
    times: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    alerts: list[Alerted] = field(default_factory=list)
    state: str = "prior"
    asked: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """Setup that replays share.

    Attributes:
        config: Configuration with the rules to watch; its cameras are not opened.
        models: Models of its bundle.
        bank: Compiled prompts of its rules.
        fps: Frames per second to score.
        geometry: How the pictures are to be seen, in place of what the clip says.
    """

    config: Config
    models: Models
    bank: PromptBank
    fps: float
    geometry: GeometrySettings = field(default_factory=GeometrySettings)


def shown(clip: Path, setup: Setup, phase: float = 0.0, begin_at_s: float = 0.0) -> Iterator[Shown]:
    """Play a clip once and yield its scored samples.

    Args:
        clip: Recording.
        setup: Model and rules.
        phase: Delay of the first sample after the first frame, in sampling periods, 0..1.
        begin_at_s: Start of this pass on the timeline, for a model of clips.

    Raises:
        SourceError: The video broke, or had no decodable frame.
        InferenceError: The engine failed.
    """
    preprocess = Preprocessor(setup.models.bundle.manifest.image)
    with open_source(str(clip)) as source:
        begin = begin_s(source.stream) or 0.0
        first: float | None = None
        decoder = Decoder(source.stream, setup.geometry)
        kept = kept_frames(source.packets(), decoder, Sampler(setup.fps, phase))
        for sequence, frame in enumerate(kept):
            arrival = frame.arrival
            first = arrival.monotonic if first is None else first
            t = arrival.monotonic - first if arrival.pts_s is None else arrival.pts_s - begin
            sample = Sample(
                clip.name, sequence, _arrival(begin_at_s + t), preprocess(frame.picture)
            )
            (scored,) = setup.models.scoring.scorer.score([sample], setup.bank)
            if scored is not None:
                yield Shown(t, sample, scored)


def replay(
    clip: Path,
    labels: Mapping[str, Sequence[Label]],
    setup: Setup,
    *,
    repeat: int = 1,
    warm_up_s: float = 0.0,
    on_pass: Callable[[], object] = lambda: None,
) -> list[Trace]:
    """Watch a clip with some rules.

    Args:
        clip: Recording.
        labels: Labels of the clip by rule; these rules watch it.
        setup: Model and rules.
        repeat: Number of passes.
        warm_up_s: Seconds before the passes in which the clip's unlabelled samples are repeated to
            learn thresholds. A rule without unlabelled samples keeps the bundle's threshold.
        on_pass: Called after each pass.

    Returns:
        One trace for each rule.

    Raises:
        SourceError: The video broke, or had no decodable frame.
        InferenceError: The engine failed.
    """
    pass_s = clip_s(clip, setup.fps)
    watchers = [_Watcher(clip, rule, tuple(own), pass_s, setup) for rule, own in labels.items()]
    if warm_up_s:
        held = list(islice(shown(clip, setup), _WARM_SAMPLES))
        for watcher in watchers:
            watcher.warm_up(held, warm_up_s, setup.fps)
    for count in range(repeat):
        for one in shown(clip, setup, count * _SPREAD % 1, (1 + count) * pass_s):
            for watcher in watchers:
                watcher.watch(one, count * pass_s + one.t)
        on_pass()
    return [watcher.trace for watcher in watchers]


def clip_s(clip: Path, fps: float) -> float:
    """Return the length of one pass in seconds; a picture counts as one sample."""
    with open_source(str(clip)) as source:
        return length_s(source.stream) or 1 / fps


class _Watcher:
    """One rule on one clip, in its own pipeline, because rules do not affect each other."""

    def __init__(
        self, clip: Path, rule: str, labels: tuple[Label, ...], pass_s: float, setup: Setup
    ) -> None:
        self.trace = Trace(clip.name, rule, setup.config.prompts[rule].text[0], labels, pass_s)
        self._rule = rule
        self._known = _Known()
        self._warmed_s = 0.0
        self._cooldown_s = setup.config.prompts[rule].cooldown
        config = alone(setup.config, rule, setup.fps)
        self._pipeline = Pipeline(
            config,
            model_ref(setup.models),
            setup.models.bundle.manifest.decision,
            self._known,
            RuleSet(config.prompts, setup.bank, config.profile),
        )

    def warm_up(self, held: Sequence[Shown], seconds: float, fps: float) -> None:
        spans = [label.span for label in self.trace.labels]
        ordinary = [one for one in held if not any(a <= one.t <= b for a, b in spans)]
        if not ordinary:
            return
        for count, one in enumerate(cycle(ordinary)):
            if count >= seconds * fps:
                break
            self._process(one, count / fps)
        self._pipeline.finish(_arrival(seconds))
        self._warmed_s = seconds + _PAUSE_S + self._cooldown_s
        self.trace.alerts.clear()

    def watch(self, one: Shown, at_s: float) -> None:
        trace = self.trace
        report = self._pipeline.status(CAMERA).calibration[self._rule]
        self._process(one, self._warmed_s + at_s)
        trace.times.append(at_s)
        trace.margins.append(self._pipeline.status(CAMERA).margins[self._rule])
        trace.thresholds.append(report.threshold)
        trace.state, trace.asked = report.state, report.asked

    def _process(self, one: Shown, at_s: float) -> None:
        self._known.answer = one.scored
        sample = Sample(CAMERA, one.sample.sequence, _arrival(at_s), one.sample.pixels)
        for message in self._pipeline.process(sample):
            if message.kind == "alert":
                self._note(AlertPayload.model_validate_json(message.payload))
        self._pipeline.pass_on()

    def _note(self, alert: AlertPayload) -> None:
        alerts, begin = self.trace.alerts, _EPOCH + self._warmed_s
        started = alert.started_at.timestamp() - begin
        if alert.type == "start":
            alerts.append(Alerted(started, alert.at.timestamp() - begin))
        elif alert.type == "end" and alert.ended_at is not None and alerts:
            alerts[-1] = Alerted(
                alerts[-1].started_s, alerts[-1].told_s, alert.ended_at.timestamp() - begin
            )


class _Known:
    """Scorer that repeats the scores that the model gave when the clip was played."""

    answer: Scored | None = None

    def score(self, _samples: Sequence[Sample], _bank: PromptBank) -> list[Scored | None]:
        return [self.answer]


def _arrival(at_s: float) -> Arrival:
    return Arrival(wall=_EPOCH + at_s, monotonic=at_s, pts_s=at_s)
