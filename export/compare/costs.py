"""Measures what a bundle costs to run: work, size, and time beside another bundle.

It measures the image graph only, because the text graph runs only when prompts change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import onnx

from edge.config.models import EngineConfig
from edge.errors import EngineError, ModelError
from edge.model.bundle.manifest import Role
from edge.model.bundle.read import Bundle
from edge.model.engines import EngineSettings
from edge.model.graphs import open_graph, prove
from edge.model.variants import Variant, variants
from export.compare.rounds import Call, RoundsSummary, in_turns, summarize
from export.graph.macs import Work, count

IMAGE: Final[Role] = "image"
# One thread, as on a device, which leaves its other cores to the cameras.
SETTINGS: Final = EngineSettings(threads=1)


@dataclass(frozen=True, slots=True)
class Runs:
    """The ways to run a bundle's image graph on this machine.

    Attributes:
        sound: Variants that passed their self-test, the most exact first; at least one.
        failures: Reason why another cannot be used, by variant.
    """

    sound: tuple[Variant, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of one bundle.

    Attributes:
        work: Work of one picture; None where it cannot be counted.
        uncounted: Reason why the work cannot be counted; None where it is counted.
        sizes: Bytes of the image graph's files, by precision.
        total: Bytes of the whole bundle.
        ms: Time of one picture on one thread, milliseconds, by variant.
    """

    work: Work | None
    uncounted: str | None
    sizes: Mapping[str, int]
    total: int
    ms: Mapping[str, RoundsSummary]


def runs_of(bundle: Bundle) -> Runs:
    """Prove each variant that the installed runtimes can open.

    Raises:
        EngineUnavailable: No runtime is installed.
        ModelError: No variant passes its self-test, or a file is damaged.
    """
    sound: list[Variant] = []
    failures: dict[str, str] = {}
    for variant in variants(bundle, EngineConfig()):
        # A damaged file is an error of the bundle and not a failed variant: it raises here.
        bundle.read(IMAGE, variant.precision, variant.format)
        try:
            engine = open_graph(bundle, IMAGE, variant, SETTINGS)
            try:
                prove(bundle, IMAGE, variant, engine)
            finally:
                engine.close()
        except (EngineError, ModelError) as exc:
            failures[str(variant)] = str(exc)
        else:
            sound.append(variant)
    if not sound:
        reasons = "; ".join(f"{name}: {why}" for name, why in failures.items())
        raise ModelError(f"{bundle.path}: expected a variant that passes its self-test: {reasons}")
    return Runs(tuple(sound), failures)


def measure(
    bundles: Mapping[str, Bundle],
    runs: Mapping[str, Runs],
    rounds: int,
    turn_s: float,
    turn_done: Callable[[], None],
) -> tuple[dict[str, Costs], dict[str, RoundsSummary]]:
    """Count and time bundles, in turns.

    Args:
        bundles: Two bundles by name.
        runs: Ways to run each bundle, by name.
        rounds: Number of turns of each variant.
        turn_s: Seconds of each turn.
        turn_done: Function that is called after each turn.

    Returns:
        The costs by name; and, for each variant that both have, the time of the first bundle over
        that of the second, taken round by round.
    """
    ways = {
        f"{name} {variant}": partial(_opened, bundle, variant)
        for name, bundle in bundles.items()
        for variant in runs[name].sound
    }
    times = in_turns(ways, rounds, turn_s, turn_done)
    costs = {
        name: _costs(
            bundle,
            {str(one): summarize(times[f"{name} {one}"]) for one in runs[name].sound},
        )
        for name, bundle in bundles.items()
    }
    first, second = bundles
    common = [variant for variant in runs[first].sound if variant in runs[second].sound]
    ratios = {}
    for variant in common:
        pairs = zip(times[f"{first} {variant}"], times[f"{second} {variant}"], strict=True)
        ratios[str(variant)] = summarize([one / other for one, other in pairs])
    return costs, ratios


def _opened(bundle: Bundle, variant: Variant) -> Call:
    golden = bundle.golden()[IMAGE]
    row = {name: array[:1] for name, array in golden.inputs.items()}
    return partial(open_graph(bundle, IMAGE, variant, SETTINGS).run, row)


def _costs(bundle: Bundle, ms: Mapping[str, RoundsSummary]) -> Costs:
    work, uncounted = None, None
    exact = bundle.read(IMAGE, bundle.precisions(IMAGE)[0], "onnx")
    try:
        work = count(onnx.load_from_string(exact))
    except ModelError as exc:
        uncounted = str(exc)
    files = bundle.manifest.files
    weights = {file.file: file.size for file in files if file.role == "weights"}
    sizes = {
        f"{file.precision}" + (" (IR)" if file.weights else ""): file.size
        + (weights[file.weights] if file.weights else 0)
        for file in files
        if file.role == IMAGE
    }
    return Costs(work, uncounted, sizes, sum(file.size for file in files), ms)
