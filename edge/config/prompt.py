"""Defines the records of an alert rule, a prompt of the configuration, and of its settings."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from edge.config.fields import ConfigSection, Names, Seconds, Texts, sum_to_one
from edge.config.schedule import Schedules

# Once in three years: what a box watches within weeks says nothing about rarer pictures.
FEWEST_FALSE_ALARMS: Final = 0.001


LEARNED: Final = ("false_alarms_per_day", "even", "start")
"""Settings of a learned threshold, which a fixed one has not."""


class OnConfig(ConfigSection):
    """Persistence: ``for: 2``, ``of: 3`` starts an alert at the second hit in three samples.

    Attributes:
        for_: Number of samples that must be above the threshold.
        of: Number of newest samples among which they are counted.
    """

    for_: int = Field(default=2, ge=1, le=100, alias="for")
    of: int = Field(default=3, ge=1, le=100)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.for_ > self.of:
            raise ValueError(f"expected for <= of, found for: {self.for_} and of: {self.of}")
        return self


class PoolConfig(ConfigSection):
    """Pooling of a rule's cosines over the last samples of a camera.

    Attributes:
        kind: Method of pooling (``edge.rules.temporal.pools``).
        frames: Number of samples pooled, the newest one included.
    """

    kind: Literal["mean", "aosm", "glscl"]
    frames: int = Field(default=12, ge=2, le=64)


Weights = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(sum_to_one)]


class SharpenedConfig(ConfigSection):
    """Values learned from examples (``edge-calibrate prompt``); remove them to undo this.

    Attributes:
        texts: Weight of each sentence of the rule; without weights the best sentence counts.
        templates: Weight of each template of the bundle.
        negatives: Weight of each negative of the rule.
        threshold: Threshold that replaces the rule's own or the bundle's.
        hysteresis: Hysteresis that replaces the bundle's where the bundle's is larger.
    """

    texts: Weights = ()
    templates: Weights = ()
    negatives: Weights = ()
    threshold: float = Field(ge=-2, le=2)
    hysteresis: float = Field(ge=0, le=2)

    @model_validator(mode="after")
    def _weights_of_all(self) -> Self:
        if bool(self.texts) != bool(self.templates) or (self.negatives and not self.texts):
            raise ValueError("expected weights of texts and templates together")
        return self


class PromptConfig(ConfigSection):
    """One alert rule.

    Attributes:
        text: Sentence, or several with the same meaning (the best one counts). A sentence about
            a sequence ("a car stops then a person gets out") must be the only one.
        negatives: Sentences for similar scenes that must not alert; the margin is relative to them.
        enabled: Whether the cameras watch the rule; if false, the box only knows it.
        false_alarms_per_day: Alerts a day that ordinary scenes may cause on one camera; the
            threshold is learned from this number.
        even: Whether each hour of the day may have an equal share of them: the threshold then
            follows the hour.
        start: Side from which the threshold comes while little is known: with too few alerts
            (``quiet``) or too many (``loud``); default in between.
        threshold: Fixed margin above which a sample counts; with it, no threshold is learned.
        kind: ``frame`` uses single frames; ``clip`` also asks the clip model to confirm.
        zones: Zones of the camera; an object that the sentence names must be in one of them.
        crop: Whether the content of a box must match the sentence when seen alone.
        schedule: Days and hours at which the rule is on; with several, any of them. Default always.
        when: Light in which the rule is on, as the camera sees it; default day and night.
        profiles: Profiles of the box in which the rule is on; default all.
        sharpened: Values learned from examples; default none.
        pool: Pooling over the last samples; default each sample by itself.
        on: Persistence before the alert starts.
        off_after: Time that the margin must stay below the threshold before the alert ends.
        cooldown: Shortest time from the end of an alert to the next one of the rule on a camera.
        update_every: Time between two updates of a running alert; 0 sends no updates.
    """

    text: Texts = Field(min_length=1)
    negatives: Texts = ()
    enabled: bool = True
    false_alarms_per_day: float = Field(default=1.0, ge=FEWEST_FALSE_ALARMS, le=100)
    even: bool = False
    start: Literal["quiet", "loud"] | None = None
    threshold: float | None = Field(default=None, ge=-2, le=2)
    kind: Literal["frame", "clip"] = "frame"
    zones: Names = ()
    crop: bool = False
    schedule: Schedules = ()
    when: Literal["day", "night"] | None = None
    profiles: Names = ()
    sharpened: SharpenedConfig | None = None
    pool: PoolConfig | None = None
    on: OnConfig = OnConfig()
    off_after: Seconds = 2.0
    cooldown: Seconds = 0.0
    update_every: Seconds = 10.0

    @model_validator(mode="after")
    def _learned_or_fixed(self) -> Self:
        both = [key for key in LEARNED if key in self.model_fields_set]
        if self.threshold is not None and both:
            raise ValueError(f"expected threshold or {both[0]}, found both")
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_sentence(self) -> Self:
        if self.sharpened is None or not self.sharpened.texts:
            return self
        for what, sentences, weights in (
            ("text", self.text, self.sharpened.texts),
            ("negatives", self.negatives, self.sharpened.negatives),
        ):
            if len(sentences) != len(weights):
                raise ValueError(
                    f"expected a weight in sharpened for each of {len(sentences)} {what}, found "
                    f"{len(weights)}; the sentences changed since: take sharpened out"
                )
        return self
