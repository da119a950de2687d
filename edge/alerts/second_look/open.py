"""Opens the second looks that the configuration asks for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from edge.alerts.second_look.base import PixelsOf
from edge.alerts.second_look.clip import ClipLook
from edge.alerts.second_look.crops import CropScorer
from edge.alerts.second_look.detectors import CaptionDetector, Detector, RegionsDetector
from edge.alerts.second_look.second import SecondLooks
from edge.config.models import Config
from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import read_keys
from edge.rules.text import Tokenizer
from edge.scoring.frame_class import caption_encoder
from edge.scoring.open import CHOICES, Models, open_models


@contextmanager
def open_looks(config: Config, models: Models, pixels_of: PixelsOf) -> Iterator[SecondLooks]:
    """Open the second looks, for as long as the daemon runs.

    Args:
        config: Configuration that names the bundles.
        models: Models of the main bundle.
        pixels_of: Gives the pixels of frames.

    Raises:
        ModelError: A bundle is not usable, not signed by one of ``bundle_keys``, or of another
            class.
        EngineUnavailable: The runtime or device is not there.
        ConfigError: A key of ``bundle_keys`` cannot be read.
    """
    manifest = models.bundle.manifest
    with ExitStack() as stack:
        scorer = models.scoring.crops
        crops = None if scorer is None else CropScorer(scorer, manifest.image, pixels_of)
        yield SecondLooks(
            config,
            manifest.decision.threshold,
            detector=_detector(config, models, pixels_of, stack),
            clip=_clip(config, models, stack),
            crops=crops,
        )


def clip_spec(config: Config) -> ImageSpec | None:
    """Return the pixels that the clip model takes; None where there is no clip model."""
    if config.clip is None:
        return None
    return open_bundle(config.clip.bundle, read_keys(config.bundle_keys)).manifest.image


def _detector(
    config: Config, models: Models, pixels_of: PixelsOf, stack: ExitStack
) -> Detector | None:
    settings = config.detector
    if settings.bundle is None:
        wanted = settings.boxes or any(p.zones or p.crop for p in config.prompts.values())
        engine = stack.enter_context(models.open_regions()) if wanted else None
        if engine is None:
            return None
        return RegionsDetector(engine, models.bundle.manifest.image, settings.threshold)
    bundle = open_bundle(settings.bundle, read_keys(config.bundle_keys))
    manifest = bundle.manifest
    if manifest.frame_class != "P":
        raise ModelError(
            f"detector.bundle: expected a model that finds boxes (class P), found {manifest.name} "
            f"of class {manifest.frame_class}"
        )
    found = stack.enter_context(_open_beside(models, bundle, config))
    return CaptionDetector(
        found.main.engine,
        caption_encoder(
            bundle, found.main.engine, found.open_text_engine, found.sentences, found.attempts
        ),
        Tokenizer(bundle.tokenizer(), manifest.text),
        (manifest.image, manifest.text),
        manifest.decision.threshold if settings.threshold is None else settings.threshold,
        pixels_of,
    )


def _clip(config: Config, models: Models, stack: ExitStack) -> ClipLook | None:
    if config.clip is None:
        return None
    bundle = open_bundle(config.clip.bundle, read_keys(config.bundle_keys))
    found = stack.enter_context(_open_beside(models, bundle, config))
    return ClipLook(found.scoring, bundle.manifest, config.background)


def _open_beside(models: Models, bundle: Bundle, config: Config) -> Models:
    """Open a second bundle, which ends and keeps sentences as the main one does."""
    return open_models(
        bundle,
        config.engine,
        config.state_dir / CHOICES,
        stop=models.stop,
        sentences=models.sentences,
        attempts=models.attempts,
    )
