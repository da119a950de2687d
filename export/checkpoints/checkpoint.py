"""Opens a checkpoint: from the hub, from a directory, or its architecture with random weights."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import Origin
from export.checkpoints import catalog, hf_models, open_clip_models, tokenizer_json
from export.checkpoints.catalog import Row
from export.checkpoints.hub import download
from export.checkpoints.own_processor import OwnProcessor
from export.checkpoints.torch_vision import hide_misfit
from export.checkpoints.weights import HF, OPEN_CLIP, check_weights, sha256_of, weight_files

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_UNKNOWN_LICENCE = "not stated: a local checkpoint"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """An opened model with its config, tokenizer, preprocessor and origin.

    Attributes:
        name: Name of the bundle.
        family: Key of ``export.families.FAMILIES``.
        model: The original, float32, in eval mode.
        config: Hugging Face config of the model; None for open_clip.
        tokenizer: Contents of ``tokenizer.json``.
        preprocessor: Contents of ``preprocessor_config.json`` (open_clip: its ``preprocess_cfg``).
        origin: Origin of the weights.
        row: Row of the catalogue; None where there is none.
        directory: Folder of its files; None for random weights.
        processor: The checkpoint's own processor of pictures; None where no file names it.
    """

    name: str
    family: str
    model: torch.nn.Module
    config: Any
    tokenizer: bytes
    preprocessor: Mapping[str, Any]
    origin: Origin
    row: Row | None
    directory: Path | None
    processor: OwnProcessor | None = None

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The preprocessor file with the defaults of the processor that it names."""
        return {**self.preprocessor, **(self.processor.settings if self.processor else {})}


def open_checkpoint(
    source: str, *, revision: str | None = None, random_weights: int | None = None
) -> Checkpoint:
    """Open a model by its name in the catalogue, its hub repository or its directory.

    Args:
        source: Source such as ``clip-vit-b-32``, ``owner/name`` or a path.
        revision: Commit of the hub repository; None takes the catalogue's.
        random_weights: Seed of random weights for the row's architecture, without a download; None
            takes the real weights.

    Raises:
        ConfigError: The model does not exist, the hub cannot be reached, or a package is missing.
        ModelError: The files are not a complete checkpoint of a known family.
    """
    hide_misfit()
    directory = Path(source)
    if directory.is_dir():
        if random_weights is not None or revision is not None:
            raise ConfigError(
                f"expected --revision and --random-weights with a name of the catalogue, found the "
                f"directory {source}"
            )
        return _open_directory(directory, None, None)
    try:
        row = catalog.find(source)
    except ConfigError:
        if not _HUB_NAME.fullmatch(source) or random_weights is not None:
            raise
        row = None
    if row is not None and random_weights is not None:
        if revision is not None:
            raise ConfigError("expected --revision or --random-weights, found both")
        return _random(row, random_weights)
    repository = row.hub if row else source
    snapshot = download(repository, revision or (row.revision if row else None))
    return _open_directory(snapshot.directory, row, (repository, snapshot.commit))


def _open_directory(
    directory: Path, row: Row | None, published: tuple[str, str] | None
) -> Checkpoint:
    """Open ``directory``; ``published`` is its repository and commit, None for a local one."""
    family = row.family if row else _family_of(directory)
    files = weight_files(directory, OPEN_CLIP if family == "open_clip" else HF)
    check_weights(files)
    config: Any = None
    processor: OwnProcessor | None
    if family == "open_clip":
        model = open_clip_models.load(directory, files)
        preprocessor = open_clip_models.read_config(directory).get("preprocess_cfg", {})
        processor = open_clip_models.processor(preprocessor)
        tokenizer = tokenizer_json.clip_tokenizer()
    else:
        tokenizer = tokenizer_json.hf_tokenizer(directory)
        model, config = hf_models.load(directory, family)
        preprocessor = hf_models.preprocessor(directory)
        processor = hf_models.processor(directory)
    digest = sha256_of(files)
    package, version = published or (directory.resolve().name, digest[:16])
    return Checkpoint(
        name=row.name if row else _slug(package),
        family=family,
        model=model,
        config=config,
        tokenizer=tokenizer,
        preprocessor=preprocessor,
        origin=Origin(
            package=package,
            version=version,
            registry="hub" if published else "local",
            sha256=digest,
            licence=row.licence if row else _UNKNOWN_LICENCE,
            files=tuple(file.name for file in files),
        ),
        row=row,
        directory=directory,
        processor=processor,
    )


def _family_of(directory: Path) -> str:
    if (directory / "config.json").is_file():
        return hf_models.family_of(directory)
    if (directory / open_clip_models.CONFIG).is_file():
        return "open_clip"
    raise ModelError(
        f"{directory}: expected a checkpoint with config.json or {open_clip_models.CONFIG}, found "
        "neither; give the directory that the model was saved to"
    )


def _random(row: Row, seed: int) -> Checkpoint:
    """Return the architecture of ``row`` with random weights, for parity and speed only."""
    config: Any = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if row.family == "open_clip":
            model = open_clip_models.random(row.sizes["model"])
        else:
            model, config = hf_models.random(row.family, row.sizes)
    if row.family in {"clip", "open_clip", "xclip_ms"}:
        tokenizer = tokenizer_json.clip_tokenizer()
    elif row.family == "siglip2":
        tokenizer = tokenizer_json.gemma_stand_in()
    else:
        tokenizer = tokenizer_json.bert_stand_in(config.text_config.vocab_size)
    return Checkpoint(
        name=f"{row.name}-random",
        family=row.family,
        model=model,
        config=config,
        tokenizer=tokenizer,
        preprocessor=row.preprocessor,
        origin=Origin(
            package=row.hub,
            version=f"random-weights-{seed}",
            registry="local",
            sha256=_digest(model),
            licence="none: random weights",
        ),
        row=row,
        directory=None,
    )


def _digest(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, list(tensor.shape)]).encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _slug(name: str) -> str:
    """Return a bundle's name, made from the name of a directory or repository."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.rpartition("/")[2].lower()).strip("-._")
    return slug or "model"
