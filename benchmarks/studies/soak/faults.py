"""Draws the faults of a soak: which camera or broker fails, how, when and for how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Fault = Literal[
    "stall", "refuse", "blackhole", "loss", "corruption", "time_jump", "no_keyframe", "drop",
    "power_off", "broker_down", "broker_killed",
]  # fmt: skip
CAMERA_FAULTS: Final[tuple[Fault, ...]] = (
    "stall", "refuse", "blackhole", "loss", "corruption", "time_jump", "no_keyframe", "drop",
    "power_off",
)  # fmt: skip
BROKER_FAULTS: Final[tuple[Fault, ...]] = ("broker_down", "broker_killed")
_BROKER: Final = 0.15  # share of the faults that are the broker's
_LONGEST_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Failure:
    """One fault of the soak.

    Attributes:
        at_s: Seconds from the start.
        fault: What fails.
        camera: Number of the camera; None for the broker.
        for_s: Seconds until it works again.
    """

    at_s: float
    fault: Fault
    camera: int | None
    for_s: float


def failures(seed: int, seconds: float, cameras: int, every_s: float) -> Iterator[Failure]:
    """Yield faults in the order of time, one after the other without overlap.

    Args:
        seed: Seed; the same seed draws the same faults.
        seconds: Length of the soak.
        cameras: Number of cameras.
        every_s: Mean time from one fault's end to the next fault.
    """
    random = Random(seed)  # noqa: S311  no secret
    at_s = random.expovariate(1 / every_s)
    while at_s < seconds:
        for_s = random.uniform(1.0, _LONGEST_S)
        if random.random() < _BROKER:
            yield Failure(at_s, random.choice(BROKER_FAULTS), None, for_s)
        else:
            yield Failure(at_s, random.choice(CAMERA_FAULTS), random.randrange(cameras), for_s)
        at_s += for_s + random.expovariate(1 / every_s)
