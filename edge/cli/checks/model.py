"""Checks a bundle: its hashes, its graphs on this device, and its compiled prompts."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.cli.checks.result import CheckResult, failure
from edge.cli.tables import concepts
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError, EdgeError, ModelError
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import read_keys, signature_in_words
from edge.model.choice import Choice
from edge.rules.bank import PromptBank
from edge.rules.plan import RulePlan, plan
from edge.rules.temporal.clauses import meaning
from edge.scoring.open import Models, open_models

_TIMED_PICTURES: Final = 5
# Share of the engine's time that cameras may use: decoding and bad moments need the rest.
_MOST_LOAD: Final = 0.7


def check_model(
    path: Path,
    engine: EngineConfig,
    prompts: Mapping[str, PromptConfig] | None = None,
    background: Sequence[str] | None = None,
    wanted_fps: float = 0.0,
    *,
    keys: Sequence[Path] = (),
    cache: Path | None = None,
    tune: bool = False,
) -> Iterator[CheckResult]:
    """Check every hash of a bundle, its graphs on this device, and its compiled prompts.

    Args:
        path: Folder of the bundle.
        engine: Engine settings.
        prompts: Prompts by name.
        background: Background sentences that replace the bundle's.
        wanted_fps: Pictures per second that all cameras together will need.
        keys: Files of public keys, one of which must have signed the bundle; empty accepts any
            bundle.
        cache: Folder of earlier measurements, changed by ``tune`` only; None for the user's own.
        tune: Whether to measure again which variant is the fastest.
    """
    try:
        bundle = open_bundle(path, read_keys(keys))
        bundle.verify()
    except (ConfigError, ModelError) as exc:
        yield failure("bundle", exc)
        return
    manifest = bundle.manifest
    sound = f"{manifest.name} in {bundle.path}, {len(manifest.files)} files as its manifest says"
    yield CheckResult(
        "bundle", f"{sound}, hash {bundle.hash[:12]}, {signature_in_words(bundle.signed)}"
    )
    try:
        models = open_models(bundle, engine, cache, tune=tune, keep=tune or cache is None)
    except EdgeError as exc:
        yield failure("engine", exc)
        return
    with models:
        yield _engine(models, wanted_fps)
        yield from _text(models, prompts or {}, background)


def _engine(models: Models, wanted_fps: float) -> CheckResult:
    engine, report = models.main.engine, models.main.report
    used = f"{models.main.variant} on {engine.runtime}, {engine.device}"
    if report is None:
        return CheckResult("engine", used, ("engine null computes nothing: set engine.kind",))
    try:
        picture_s = _picture_s(models)
    except EdgeError as exc:
        return failure("engine", exc)
    remarks = [f"{models.failed}; the driver or the hardware changed"] if models.failed else []
    if wanted_fps * picture_s > _MOST_LOAD:
        remarks.append(
            f"lower sample.fps, or raise engine.threads: the cameras want {wanted_fps:g} pictures a"
            f" second, this engine makes {1 / picture_s:.0f}"
        )
    cosine = f"mean {report.mean_cosine:.4f}, worst {report.min_cosine:.4f}"
    found = f"{used}, {1000 * picture_s:.1f} ms a picture; cosine to the float original {cosine}"
    if models.choice.measured:
        found += f"; {_choice(models.choice)}"
    return CheckResult("engine", found, tuple(remarks))


def _choice(choice: Choice) -> str:
    """Describe the measured variants, fastest first."""
    tried = sorted(choice.measured, key=lambda one: (one.ms is None, one.ms))
    when = "earlier" if choice.remembered else "now"
    return f"measured {when}: " + ", ".join(
        f"{one.variant} {one.ms:.1f} ms" if one.ms is not None else f"{one.variant} {one.failure}"
        for one in tried
    )


def _picture_s(models: Models) -> float:
    """Return the median seconds for one picture, or for one clip if the model takes clips."""
    golden = models.bundle.golden()[models.bundle.manifest.graphs[0]]
    row = {name: array[:1] for name, array in golden.inputs.items()}
    took = []
    for _ in range(_TIMED_PICTURES):
        began = time.perf_counter()
        models.main.engine.run(row)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _text(
    models: Models, prompts: Mapping[str, PromptConfig], background: Sequence[str] | None
) -> Iterator[CheckResult]:
    try:
        with models.scoring.open_compiler() as compile_prompts:
            yield CheckResult("text model", f"{models.text_precision}, passes its golden self-test")
            for name, prompt in prompts.items():  # one by one, to report all wrong prompts
                try:
                    bank = compile_prompts({name: prompt}, background)
                except ConfigError as exc:
                    yield failure(f"prompt {name}", exc)
                else:
                    yield from _prompts(models.bundle, bank, plan(name, prompt))
    except EdgeError as exc:
        yield failure("text model", exc)


def _prompts(bundle: Bundle, bank: PromptBank, rule: RulePlan) -> Iterator[CheckResult]:
    """Check a bank with one rule: each clause, then the whole rule."""
    axes = bundle.axes()
    together = f"; all: {meaning(rule.expression)}" if rule.has_time else ""
    for prompt in bank.prompts:
        found = ", ".join(repr(sentence) for sentence in bank.sentences[prompt.texts])
        if prompt.coverage is not None:
            found += f", covered {prompt.coverage:.2f}"
        if axes is not None:
            found += "; " + " | ".join(concepts(row, axes) for row in bank.rows[prompt.texts])
        notes = (note.text for note in bank.notes if note.prompt == prompt.name)
        yield CheckResult(f"prompt {prompt.name}", found + together, tuple(notes))
