"""Checks everything that a configuration names, in the order in which the daemon needs it."""

from collections.abc import Iterator
from datetime import datetime

from edge.alerts.conditions import conditions_of
from edge.cli.checks.broker import check_broker
from edge.cli.checks.cameras import check_cameras
from edge.cli.checks.disk import check_disk, check_index
from edge.cli.checks.model import check_model
from edge.cli.checks.outbox import check_outbox
from edge.cli.checks.privacy import check_privacy
from edge.cli.checks.result import CheckResult, failure
from edge.cli.checks.sandbox import check_sandbox
from edge.cli.checks.second_look import check_looks
from edge.cli.checks.side_files import check_side_files
from edge.cli.checks.zones import zone_remarks
from edge.config.document import suggestion
from edge.config.models import Config
from edge.errors import ConfigError
from edge.scoring.open import CHOICES
from edge.system.time_zone import zone_of


def check_config(
    config: Config, *, cameras: bool = True, broker: bool = True, tune: bool = False
) -> Iterator[CheckResult]:
    """Check everything that a configuration names; yield each result as soon as it is known, once.

    Args:
        config: Configuration, already loaded, so its file is sound.
        cameras: Whether to open the cameras.
        broker: Whether to connect to the broker.
        tune: Whether to measure again which variant is the fastest.
    """
    said = set[CheckResult]()
    for result in _results(config, cameras=cameras, broker=broker, tune=tune):
        if result not in said:  # a wrong sentence is met by more than one check
            said.add(result)
            yield result


def _results(config: Config, *, cameras: bool, broker: bool, tune: bool) -> Iterator[CheckResult]:
    yield _watched_prompts(config)
    yield from _conditions(config)
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
        yield check_sandbox()
        yield from check_cameras(config.cameras)
    outbox = check_outbox(config.state_dir)
    if broker:
        yield from check_broker(config, outbox)
    yield check_disk(config.state_dir, config.outbox.max_bytes)
    if (privacy := check_privacy(config.state_dir)) is not None:
        yield privacy
    yield outbox.result
    yield from check_side_files(config.state_dir)
    yield from check_index(config)


def _conditions(config: Config) -> Iterator[CheckResult]:
    try:
        at = datetime.now(zone_of(config.timezone))
    except ConfigError as exc:
        yield failure("time zone", exc)
        return
    for name, prompt in config.prompts.items():
        if words := conditions_of(prompt, at):
            yield CheckResult(f"when {name}", words)


def _watched_prompts(config: Config) -> CheckResult:
    cameras = config.cameras.values()
    idle = [
        name for name in config.prompts if not any(camera.watched_by(name) for camera in cameras)
    ]
    remarks = [f"no camera watches {', '.join(idle)}: name it under its prompts"] if idle else []
    for name, camera in config.cameras.items():
        if not any(rule.enabled and camera.watched_by(key) for key, rule in config.prompts.items()):
            remarks.append(
                f"camera {name} has no prompt that is on: name one under its prompts, or leave the "
                "key out for all"
            )
    remarks += zone_remarks(config.cameras)
    profiles = sorted({name for prompt in config.prompts.values() for name in prompt.profiles})
    if config.profile is not None and config.profile not in profiles:
        hint = suggestion(config.profile, profiles) if profiles else "none names any"
        remarks.append(f"no prompt names the profile {config.profile!r}; {hint}")
    found = f"{config.device.id}: {len(config.cameras)} cameras, {len(config.prompts)} prompts"
    return CheckResult("configuration", found, tuple(remarks))
