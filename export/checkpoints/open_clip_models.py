"""Loads models in the layout of the package open_clip: its config and its safetensors."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from edge.errors import ConfigError, ModelError
from export.checkpoints.json_file import read_object
from export.checkpoints.own_processor import OwnProcessor, open_clip_processor

if TYPE_CHECKING:
    import torch

CONFIG = "open_clip_config.json"


def load(directory: Path, files: tuple[Path, ...]) -> "torch.nn.Module":
    """Return the model in ``directory``, float32 and in eval mode.

    Args:
        directory: Folder with ``open_clip_config.json``.
        files: Files of its weights.

    Raises:
        ConfigError: open_clip is missing or broken.
        ModelError: There is no config of open_clip, or the weights do not fit the model.
    """
    read_config(directory)
    open_clip = _open_clip()
    with _quiet():
        try:
            model = open_clip.create_model(
                f"local-dir:{directory}", load_weights=False, pretrained_text=False
            )
        except (ValueError, RuntimeError, TypeError, KeyError, AssertionError) as exc:
            raise ModelError(
                f"{directory}: expected an architecture that open_clip knows, found: {exc}"
            ) from exc
    weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as exc:
        # The first two lines name the model and the keys; the rest can be pages.
        reason = " ".join(line.strip() for line in str(exc).splitlines()[:2])
        raise ModelError(
            f"{directory}: expected the weights of the model in {CONFIG}, found: {reason:.300}"
        ) from exc
    return _ready(model)


def random(architecture: str) -> "torch.nn.Module":
    """Return an untrained model.

    Raises:
        ConfigError: open_clip is missing or broken, or too old to know the architecture.
    """
    open_clip = _open_clip()
    with _quiet():
        try:
            model = open_clip.create_model(architecture, pretrained=None, pretrained_text=False)
        except RuntimeError as exc:
            reason = str(exc)[:200]
            raise ConfigError(
                f"expected open_clip to know {architecture}, found: {reason}; install a newer one"
            ) from exc
    return _ready(model)


def read_config(directory: Path) -> dict[str, Any]:
    """Return ``open_clip_config.json`` with its ``model_cfg`` and ``preprocess_cfg``.

    Raises:
        ModelError: The file is missing or of another form.
    """
    path = directory / CONFIG
    document = read_object(path)
    if not isinstance(document.get("model_cfg"), dict):
        raise ModelError(f"{path}: expected a model_cfg of open_clip, found none")
    if not isinstance(document.get("preprocess_cfg", {}), dict):
        raise ModelError(f"{path}: expected a preprocess_cfg of open_clip, found something else")
    return document


def processor(preprocess: Mapping[str, Any]) -> OwnProcessor:
    """Make open_clip's own transform with this ``preprocess_cfg``.

    Raises:
        ConfigError: open_clip is missing or broken.
        ModelError: It does not take these settings.
    """
    return open_clip_processor(_open_clip(), preprocess)


def _ready(model: Any) -> "torch.nn.Module":
    ready: torch.nn.Module = model.float().eval()
    return ready


def _open_clip() -> Any:
    try:
        import open_clip  # noqa: PLC0415 - takes seconds
    except (ImportError, RuntimeError) as exc:
        # A torchvision that was built for another torch fails with a RuntimeError at its import.
        raise ConfigError(
            f"expected the package open_clip with a torchvision that fits torch, found: {exc}; "
            "install versions that belong together: pip install open_clip_torch torchvision"
        ) from exc
    return open_clip


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's warning that a model has no weights: it gets them right afterwards."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
