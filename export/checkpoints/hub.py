"""Downloads a repository of the Hugging Face hub: one commit, no pickles, no code."""

from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError

# Weights as safetensors, configs and tokenizers. No other file is ever fetched.
_WANTED = ("*.safetensors", "*.json", "vocab.txt", "merges.txt")
# Other precisions and runtimes of the same weights.
_UNWANTED = ("onnx/*", "openvino/*", "*fp16*", "*.bf16.*")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A downloaded repository.

    Attributes:
        directory: Folder of its files.
        commit: Commit of its files.
    """

    directory: Path
    commit: str


def download(repository: str, revision: str | None) -> Snapshot:
    """Fetch the files of a checkpoint, or find them in the hub client's cache.

    Args:
        repository: ``owner/name``.
        revision: Commit, branch or tag; None takes the current commit of the main branch.

    Raises:
        ConfigError: The hub cannot be reached, or has no such repository or revision.
    """
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for hub sources
        from huggingface_hub.errors import (  # noqa: PLC0415
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError as exc:
        raise ConfigError(
            f"expected the package huggingface_hub for {repository}, found: {exc}; install it with "
            "pip install 'camera-edge-runtime[models]', or give a local directory"
        ) from exc
    at = f"{repository} at {revision or 'main'}"
    try:
        directory = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(_WANTED),
                ignore_patterns=list(_UNWANTED),
            )
        )
    except LocalEntryNotFoundError as exc:
        raise ConfigError(
            f"expected to reach the hub for {at}, or to find it in the cache; found neither. "
            f"On a machine that can, download the repository (config, tokenizer and safetensors), "
            "copy the directory here and give its path instead of the name"
        ) from exc
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise ConfigError(
            f"expected {at} on the hub, found: {reason}; check the name and --revision, or give a "
            "local directory"
        ) from exc
    # The cache names a snapshot's directory after its commit.
    return Snapshot(directory, directory.name)
