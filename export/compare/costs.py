"""What running a bundle costs: work, size, and time measured beside another bundle.

Only the graph that sees pictures: the text graph runs when prompts change.
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
from export.compare.rounds import Call, Spread, in_turns, spread_of
from export.graph.macs import Work, count

IMAGE: Final[Role] = "image"
# As a device runs it, which leaves its other cores to the cameras.
SETTINGS: Final = EngineSettings(threads=1)


@dataclass(frozen=True, slots=True)
class Runs:
    """The ways to run a bundle's image graph on this machine.

    Attributes:
        sound: That passed their self-test, most exact first; at least one.
        failures: Why others cannot be used, by variant.
    """

    sound: tuple[Variant, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one bundle costs.

    Attributes:
        work: Of one picture; None where it cannot be counted.
        uncounted: Why not.
        sizes: Bytes of the image graph's files, by precision.
        total: Bytes of the whole bundle.
        ms: Of one picture on one thread, milliseconds, by variant.
    """

    work: Work | None
    uncounted: str | None
    sizes: Mapping[str, int]
    total: int
    ms: Mapping[str, Spread]


def runs_of(bundle: Bundle) -> Runs:
    """Prove each variant that the installed runtimes can open.

    Raises:
        EngineUnavailable: No runtime is installed.
        ModelError: No variant passes its self-test, or a file is damaged.
    """
    sound: list[Variant] = []
    failures: dict[str, str] = {}
    for variant in variants(bundle, EngineConfig()):
        # A damaged file is no variant that fails: the bundle is to be installed again.
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
    told: Callable[[], None],
) -> tuple[dict[str, Costs], dict[str, Spread]]:
    """Count and time bundles, in turns.

    Args:
        bundles: Two, by name.
        runs: How each is run, by name.
        rounds: Turns of each variant.
        turn_s: Seconds of each turn.
        told: Called after each turn.

    Returns:
        The costs by name, and how many times as long the first one takes as the second, round by
        round, by variants that both have.
    """
    ways = {
        f"{name} {variant}": partial(_opened, bundle, variant)
        for name, bundle in bundles.items()
        for variant in runs[name].sound
    }
    times = in_turns(ways, rounds, turn_s, told)
    costs = {
        name: _costs(
            bundle,
            {str(one): spread_of(times[f"{name} {one}"]) for one in runs[name].sound},
        )
        for name, bundle in bundles.items()
    }
    first, second = bundles
    common = [variant for variant in runs[first].sound if variant in runs[second].sound]
    ratios = {}
    for variant in common:
        pairs = zip(times[f"{first} {variant}"], times[f"{second} {variant}"], strict=True)
        ratios[str(variant)] = spread_of([one / other for one, other in pairs])
    return costs, ratios


def _opened(bundle: Bundle, variant: Variant) -> Call:
    golden = bundle.golden()[IMAGE]
    row = {name: array[:1] for name, array in golden.inputs.items()}
    return partial(open_graph(bundle, IMAGE, variant, SETTINGS).run, row)


def _costs(bundle: Bundle, ms: Mapping[str, Spread]) -> Costs:
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
