"""Measures false alarms a day where samples are rare because nothing moves.

``python -m benchmarks.studies.heartbeats --seeds 3`` prints a line for each kind of camera: alarms
a day by those asked for, with a gate and without one. The stream has no events. Its margins are
noise with a memory, and higher while something moves; the gate opens at random. The daemon's
calibration and event machine run in closed loop, as in ``benchmarks.studies.false_alarms``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.measuring.statistics import summary
from edge.alerts.events import EventMachine, Rule
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.video.sample import Arrival

_DAY_S: Final = 86_400
_FPS, _IDLE = 2.0, 0.1
_RULE: Final = Rule(
    threshold=4.0, hysteresis=0.05, on_for=2, on_of=3, still_s=3 / _IDLE, period_s=1 / _FPS
)
_OPEN_S: Final = 40.0  # mean length of a movement, the four seconds after it included


@dataclass(frozen=True, slots=True)
class StillCamera:
    """A camera.

    Attributes:
        open_share: Share of the time in which something moves.
        memory_s: Time constant of the part of the noise that has one.
        lift: By how many spreads margins are higher while something moves.
    """

    open_share: float
    memory_s: float
    lift: float


KINDS: Final = {
    "quiet yard": StillCamera(0.05, 20.0, 1.0),
    "street": StillCamera(0.4, 20.0, 1.0),
    "slow light": StillCamera(0.1, 300.0, 0.0),
    "movement looks like it": StillCamera(0.1, 20.0, 2.5),
}


def day(
    kind: StillCamera, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return margins at the full rate, and whether something moves, for a day."""
    count = int(_DAY_S * _FPS)
    share = kind.open_share
    closes = 1 / (_OPEN_S * _FPS)
    opens = closes * share / (1 - share)
    moving = np.empty(count, np.bool_)
    at, state = 0, False
    while at < count:
        length = int(rng.geometric(closes if state else opens))
        moving[at : at + length] = state
        at, state = at + length, not state
    keep = np.exp(-1 / (kind.memory_s * _FPS))
    slow = lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal(count))
    noise = np.sqrt(0.5) * (slow + rng.standard_normal(count))
    return noise + kind.lift * moving, moving


def sampled(
    margins: NDArray[np.float64], moving: NDArray[np.bool_]
) -> Iterator[tuple[int, float, bool]]:
    """Yield number, margin, and whether nothing moved before, of the samples with a gate."""
    last, heartbeat = 0, False
    every = round(_FPS / _IDLE)
    for number in range(len(margins)):
        if moving[number]:
            yield number, float(margins[number]), heartbeat
            last, heartbeat = number, False
        elif number - last >= every:
            yield number, float(margins[number]), True
            last, heartbeat = number, True


def alarms(kind: StillCamera, seed: int, asked: float, days: int, *, gate: bool) -> list[int]:
    """Return the alarms of each day."""
    rng = np.random.default_rng(seed)
    calibration = Calibration(_RULE, asked)
    machine = EventMachine(_RULE, lambda _at: "")
    found = []
    for which in range(days):
        margins, moving = day(kind, rng)
        every = ((number, float(one), False) for number, one in enumerate(margins))
        count = 0
        for number, margin, still in sampled(margins, moving) if gate else every:
            now = which * _DAY_S + number / _FPS
            machine.rule = calibration.rule
            told = machine.step(margin, 0.0, Arrival(now, now, None), still=still)
            count += any(one.type == "start" for one in told)
            alerting = machine.alerting or bool(told)
            calibration.observe(margin, now, alerting=alerting, regime=EVERYWHERE, still=still)
        found.append(count)
    return found


def main(
    seeds: Annotated[int, typer.Option(help="Runs of each kind.")] = 3,
    asked: Annotated[float, typer.Option(help="False alarms a day.")] = 10.0,
    days: Annotated[int, typer.Option(help="Days, the first of which does not count.")] = 5,
    kinds: Annotated[str, typer.Option(help="Kinds of cameras.")] = ",".join(KINDS),
    out: Annotated[Path | None, typer.Option("--json", help="Write the results here.")] = None,
    *,
    control: Annotated[bool, typer.Option(help="Also run without a gate, much longer.")] = True,
) -> None:
    """Measure false alarms a day with heartbeats."""
    results = {}
    for name in kinds.split(","):
        words = []
        for gate in (True, False) if control else (True,):
            runs = [alarms(KINDS[name], seed, asked, days, gate=gate) for seed in range(seeds)]
            results[f"{name}, {'gate' if gate else 'no gate'}"] = runs
            ratio = summary([sum(run[1:]) / (days - 1) / asked for run in runs])
            what = "with a gate" if gate else "without"
            words.append(f"{what} {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
        typer.echo(f"{name}: measured by asked {', '.join(words)}")
    if out is not None:
        out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
