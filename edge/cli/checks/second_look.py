"""Checks the bundles of the second look, and that every rule has what it needs."""

from collections.abc import Iterator

from edge.alerts.second_look.means import Means, check_means
from edge.cli.checks.result import CheckResult, failure
from edge.config.models import Config
from edge.errors import ConfigError, EdgeError, ModelError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys
from edge.rules.plan import plan


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
            check_means(config.cameras, name, prompt, has, clauses=len(plan(name, prompt).clauses))
        except ConfigError as exc:
            yield failure(f"prompt {name}", exc)
