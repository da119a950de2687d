"""Loads models in Hugging Face's layout: config.json, safetensors, preprocessor."""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import ConfigError, ModelError
from export.checkpoints.json_file import read_object
from export.checkpoints.own_processor import OwnProcessor, hf_processor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@dataclass(frozen=True, slots=True)
class _Architecture:
    """Names of a family in ``transformers``.

    Attributes:
        model_type: Type in ``config.json``.
        model: Class of the model.
        config: Class of the config.
    """

    model_type: str
    model: str
    config: str


_ARCHITECTURES = {
    "clip": _Architecture("clip", "CLIPModel", "CLIPConfig"),
    # The checkpoints of SigLIP 2 with a fixed resolution are SigLIP models.
    "siglip2": _Architecture("siglip", "SiglipModel", "SiglipConfig"),
    "chinese_clip": _Architecture("chinese_clip", "ChineseCLIPModel", "ChineseCLIPConfig"),
    "vision_text_dual_encoder": _Architecture(
        "vision-text-dual-encoder", "VisionTextDualEncoderModel", "VisionTextDualEncoderConfig"
    ),
    "xclip_ms": _Architecture("xclip", "XCLIPModel", "XCLIPConfig"),
    "grounding_dino": _Architecture(
        "grounding-dino", "GroundingDinoForObjectDetection", "GroundingDinoConfig"
    ),
}

# Attention as plain operators. The fused one exports with a root and two products more per layer,
# and with a guard against rows without any token.
_ATTENTION = "eager"


def family_of(directory: Path) -> str:
    """Return the family of the checkpoint in ``directory``, as its config names it.

    Raises:
        ModelError: The file is not a config, or its model has no family here.
    """
    found = _model_type(directory)
    for family, architecture in _ARCHITECTURES.items():
        if architecture.model_type == found:
            return family
    known = ", ".join(architecture.model_type for architecture in _ARCHITECTURES.values())
    raise ModelError(f"{directory}: expected a model of type {known}, found {found!r}")


def load(directory: Path, family: str) -> "tuple[torch.nn.Module, Any]":
    """Return model and config of the checkpoint in ``directory``, float32 and in eval mode.

    Raises:
        ConfigError: ``transformers`` is missing or broken.
        ModelError: The architecture is not that of ``family``, or weights are missing.
    """
    architecture = _ARCHITECTURES[family]
    found = _model_type(directory)
    if found != architecture.model_type:
        raise ModelError(
            f"{directory}: expected a checkpoint of type {architecture.model_type} for the family "
            f"{family}, found {found!r}"
        )
    transformers = _transformers()
    with _quiet(transformers):
        try:
            model, loading = _class(transformers, architecture.model).from_pretrained(
                directory,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                attn_implementation=_ATTENTION,
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as exc:
            raise ModelError(
                f"{directory}: expected a {architecture.model}, found one that does not load: {exc}"
            ) from exc
    # transformers fills missing weights with random numbers and only warns.
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"{directory}: expected all weights of a {architecture.model}, missing {len(missing)}, "
            f"among them {', '.join(missing[:3])}; it is part of a model or of another version"
        )
    return model.float().eval(), model.config


def random(family: str, sizes: Mapping[str, Any]) -> "tuple[torch.nn.Module, Any]":
    """Return model and config of an untrained model.

    Args:
        family: Key of the families.
        sizes: Values that differ from the defaults of the config class.

    Raises:
        ConfigError: ``transformers`` is missing or broken.
    """
    architecture = _ARCHITECTURES[family]
    transformers = _transformers()
    with _quiet(transformers):
        config = _class(transformers, architecture.config)(**_plain(sizes))
        model = _class(transformers, architecture.model)._from_config(  # noqa: SLF001 - the way in
            config, attn_implementation=_ATTENTION
        )
    return model.float().eval(), config


def preprocessor(directory: Path) -> dict[str, Any]:
    """Return the checkpoint's preprocessor config: how pictures are prepared.

    Raises:
        ModelError: The checkpoint has none.
    """
    plain = directory / "preprocessor_config.json"
    if plain.is_file():
        return read_object(plain)
    # transformers 5 saves a processor's parts in one file.
    combined = directory / "processor_config.json"
    if combined.is_file():
        found = read_object(combined).get("image_processor")
        if isinstance(found, dict):
            return found
    raise ModelError(
        f"{directory}: expected preprocessor_config.json, which says how pictures are prepared, "
        "found none; copy it from the repository that the weights came from"
    )


def processor(directory: Path) -> OwnProcessor | None:
    """Open the checkpoint's own processor of pictures; None where its files name none.

    Raises:
        ModelError: They name one that cannot be opened.
    """
    transformers = _transformers()
    given = preprocessor(directory)
    named = given.get("image_processor_type") or given.get("feature_extractor_type")
    with _quiet(transformers):
        return hf_processor(transformers, directory, named)


def _model_type(directory: Path) -> Any:
    return read_object(directory / "config.json").get("model_type")


def _transformers() -> Any:
    try:
        import transformers  # noqa: PLC0415 - takes seconds
    except ImportError as exc:
        raise ConfigError(
            f"expected the package transformers, found: {exc}; install it with: "
            "pip install 'camera-edge-runtime[models]'"
        ) from exc
    return transformers


def _class(transformers: Any, name: str) -> Any:
    try:
        return getattr(transformers, name)
    except (ImportError, AttributeError) as exc:
        # The usual cause: a torchvision built for another torch.
        raise ConfigError(
            f"expected transformers to have {name}, found that it cannot import it: {_root(exc)}; "
            "install versions of torch, torchvision and transformers that belong together"
        ) from exc


def _root(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


def _plain(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``sizes``, because a config changes the mappings that it is given."""
    return {key: _plain(v) if isinstance(v, Mapping) else v for key, v in sizes.items()}


@contextmanager
def _quiet(transformers: Any) -> "Iterator[None]":
    """Switch off progress bars and load reports; errors are raised."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
