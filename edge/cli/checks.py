"""Tries once everything that the daemon needs, and says what to do about what fails."""

import secrets
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from edge.alerts.conditions import conditions_of
from edge.alerts.second_look.means import Means, check_means
from edge.cli.tables import concepts
from edge.config.models import CameraConfig, Config, EngineConfig, MqttConfig, PromptConfig
from edge.delivery.connection import connect
from edge.errors import ConfigError, EdgeError, ModelError, OutboxError, SourceError
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import read_keys, told
from edge.model.choice import Choice
from edge.rules.bank import PromptBank
from edge.rules.plan import RulePlan, plan
from edge.rules.temporal.clauses import meaning
from edge.scoring.open import CHOICES, Models, open_models
from edge.search.index.store import INDEX
from edge.search.open import check_searchable
from edge.system.clock import zone_of
from edge.system.redact import redact
from edge.video.probe import LONGEST_LOOK_S, advice, look_at

_TIMED_PICTURES: Final = 5
# Share of the engine's time that cameras may use: decoding and bad moments need the rest.
_MOST_LOAD: Final = 0.7
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        check: Name of what was checked.
        found: Result in words; after a failure also what to do.
        advice: Improvements that would help, one sentence each.
        exit_code: Exit code of the failure (``edge.errors``); 0 without a failure.
    """

    check: str
    found: str
    advice: tuple[str, ...] = ()
    exit_code: int = 0

    @property
    def verdict(self) -> Literal["ok", "warn", "FAIL"]:
        if self.exit_code:
            return "FAIL"
        return "warn" if self.advice else "ok"


def failure(check: str, error: EdgeError) -> CheckResult:
    """Return the finding that ``error`` means for ``check``."""
    return CheckResult(check, redact(str(error)), exit_code=error.exit_code)


def exit_code(findings: Sequence[CheckResult]) -> int:
    """Return the exit code of the failure that the daemon would meet first; 0 without failures."""
    return min((finding.exit_code for finding in findings if finding.exit_code), default=0)


def check_config(
    config: Config, *, cameras: bool = True, broker: bool = True, tune: bool = False
) -> Iterator[CheckResult]:
    """Check everything that a configuration names; yield each finding as soon as it is known.

    Args:
        config: Configuration, already loaded, so its file is sound.
        cameras: Whether to open the cameras.
        broker: Whether to connect to the broker.
        tune: Measure again which variant is the fastest.
    """
    yield _watched_prompts(config)
    at = datetime.now(zone_of(config.timezone))
    for name, prompt in config.prompts.items():
        if words := conditions_of(prompt, at):
            yield CheckResult(f"when {name}", words)
    wanted_fps = sum(camera.sample.fps for camera in config.cameras.values())
    yield from check_model(
        config.bundle,
        config.engine,
        config.prompts,
        config.background,
        wanted_fps,
        keys=config.bundle_keys,
        cache=config.state_dir / CHOICES,
        tune=tune,
    )
    yield from check_looks(config)
    if cameras:
        yield from check_cameras(config.cameras)
    if broker:
        yield check_broker(config.mqtt)
    yield check_disk(config.state_dir, config.outbox.max_bytes)
    yield from check_index(config)


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
    """Check every hash of a bundle, both its graphs on this device, and its compiled prompts.

    Args:
        path: Folder of the bundle.
        engine: Engine settings.
        prompts: Prompts by name.
        background: Background sentences that replace the bundle's.
        wanted_fps: Pictures per second that all cameras together will need.
        keys: Files of public keys, one of which must have signed the bundle; empty accepts any.
        cache: Folder of earlier measurements, changed by ``tune`` only; None for the user's own.
        tune: Measure again which variant is the fastest.
    """
    try:
        bundle = open_bundle(path, read_keys(keys))
        bundle.verify()
    except (ConfigError, ModelError) as exc:
        yield failure("bundle", exc)
        return
    manifest = bundle.manifest
    sound = f"{manifest.name} in {bundle.path}, {len(manifest.files)} files as its manifest says"
    yield CheckResult("bundle", f"{sound}, hash {bundle.hash[:12]}, {told(bundle.signed)}")
    try:
        models = open_models(bundle, engine, cache, tune=tune, keep=tune or cache is None)
    except EdgeError as exc:
        yield failure("engine", exc)
        return
    with models:
        yield _engine(models, wanted_fps)
        yield from _text(models, prompts or {}, background)


def check_looks(config: Config) -> Iterator[CheckResult]:
    """Check the bundles of the second look, and that they have everything that the rules need."""
    try:
        main = open_bundle(config.bundle, read_keys(config.bundle_keys))
    except EdgeError:
        return  # reported already
    regions = bool(main.precisions("regions"))
    clip = None if config.clip is None else config.clip.bundle
    for what, path, wanted in (("detector", config.detector.bundle, "P"), ("clip", clip, "C")):
        if path is None:
            continue
        try:
            bundle = open_bundle(path, read_keys(config.bundle_keys))
            bundle.verify()
            found = bundle.manifest.frame_class
            if found != wanted:
                raise ModelError(f"{path}: expected a model of class {wanted}, found {found}")
        except EdgeError as exc:
            yield failure(what, exc)
        else:
            yield CheckResult(what, f"{bundle.manifest.name} in {path}, hash {bundle.hash[:12]}")
    has = Means(
        detector=regions or config.detector.bundle is not None,
        clip=config.clip is not None,
        crops=main.manifest.frame_class == "F",
    )
    for name, prompt in config.prompts.items():
        try:
            check_means(config, name, prompt, has, clauses=len(plan(name, prompt).clauses))
        except ConfigError as exc:
            yield failure(f"prompt {name}", exc)


def check_cameras(cameras: Mapping[str, CameraConfig]) -> Iterator[CheckResult]:
    """Check all cameras in parallel; each takes at most three timeouts and one check."""
    found: dict[str, CheckResult] = {}

    def check(name: str) -> None:
        found[name] = check_camera(name, cameras[name])

    # Daemon threads, so that a hanging resolver cannot keep the command from ending.
    threads = {name: threading.Thread(target=check, args=(name,), daemon=True) for name in cameras}
    began = time.monotonic()
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        patience_s = 3 * cameras[name].timeout + LONGEST_LOOK_S + 1
        thread.join(max(0.0, began + patience_s - time.monotonic()))
        late = SourceError(f"no answer within {patience_s:g} s; check its address and the network")
        yield found.get(name) or failure(f"camera {name}", late)


def check_camera(name: str, camera: CameraConfig) -> CheckResult:
    """Open a camera, decode its first frame, and describe its stream."""
    try:
        look = look_at(camera)
    except EdgeError as exc:
        return failure(f"camera {name}", exc)
    return CheckResult(f"camera {name}", str(look), advice(look, camera))


def check_broker(config: MqttConfig) -> CheckResult:
    """Connect to the broker, with another client id, so that the daemon keeps its session."""
    try:
        with connect(config, f"edge-check-{secrets.token_hex(4)}") as connection:
            protocol = connection.protocol
    except EdgeError as exc:
        return failure("broker", exc)
    security = "TLS, its certificate verified" if config.tls else "not encrypted"
    remarks = []
    if config.password and not config.tls and config.host not in _LOOPBACK:
        remarks.append("set mqtt.tls: the password travels in the clear")
    return CheckResult(
        "broker", f"{config.host}:{config.port}, MQTT {protocol}, {security}", tuple(remarks)
    )


def check_disk(state_dir: Path, outbox_bytes: int) -> CheckResult:
    """Check that the outbox fits into ``state_dir``, which need not exist yet."""
    try:
        folder = next(path for path in (state_dir, *state_dir.parents) if path.exists())
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as exc:
        problem = f"{state_dir}: expected a folder to write to, found: {exc.strerror}"
        return failure("disk", OutboxError(f"{problem}; set state_dir, or make it this user's own"))
    remarks = []
    if free < outbox_bytes:
        remarks.append(
            f"make room, or lower outbox.max_bytes: it may grow to {_megabytes(outbox_bytes)}"
        )
    made = "" if folder == state_dir else " (will be made)"
    return CheckResult(
        "disk", f"{state_dir}{made} writable, {_megabytes(free)} free", tuple(remarks)
    )


def check_index(config: Config) -> Iterator[CheckResult]:
    """Check that the index has room on the disk, and that the model can search it."""
    if not config.index.enabled:
        return
    root, limit = config.state_dir / INDEX, config.index.max_bytes
    try:
        check_searchable(open_bundle(config.bundle))
        held = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        folder = next(path for path in (root, *root.parents) if path.exists())
        free = shutil.disk_usage(folder).free
    except ModelError:
        return  # reported already
    except ConfigError as exc:
        yield failure("index", exc)
        return
    except OSError as exc:
        yield CheckResult("index", f"{root}: {exc.strerror}", ("alerts go on, nothing is kept",))
        return
    found = f"{root} holds {_megabytes(held)}, may grow to {_megabytes(limit)}"
    short = held + free < limit
    yield CheckResult("index", found, ("make room, or lower index.max_bytes",) if short else ())


def _watched_prompts(config: Config) -> CheckResult:
    cameras = config.cameras.values()
    idle = [
        name for name in config.prompts if not any(camera.watched_by(name) for camera in cameras)
    ]
    remarks = (f"no camera watches {', '.join(idle)}: name it under its prompts",) if idle else ()
    found = f"{config.device.id}: {len(config.cameras)} cameras, {len(config.prompts)} prompts"
    return CheckResult("configuration", found, remarks)


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


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
