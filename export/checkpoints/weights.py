"""Finds and checks the weight files of a checkpoint, before a model is built from them."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from edge.errors import ModelError
from export.checkpoints.json_file import read_object

HF = "model.safetensors"
OPEN_CLIP = "open_clip_model.safetensors"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def weight_files(directory: Path, name: str) -> tuple[Path, ...]:
    """Return the safetensors file ``name`` in ``directory``, or the shards that its index lists.

    Raises:
        ModelError: There is no such file, there are only pickles, or the index is damaged.
    """
    if (directory / name).is_file():
        return (directory / name,)
    index = directory / f"{name}.index.json"
    if index.is_file():
        return _shards(index)
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise ModelError(
            f"{directory}: expected {name}, found only {', '.join(pickles)}; a pickle can run any "
            "code when it is read and is refused. Many repositories have a converted revision (on "
            "the hub: a pull request, give its refs/pr/N as --revision); otherwise convert it on a "
            "machine that has nothing to lose"
        )
    raise ModelError(f"{directory}: expected the weights as {name}, found no weight file")


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(read_object(index)["weight_map"].values()))
        shards = tuple(index.parent / Path(name).name for name in names)
        missing = [shard.name for shard in shards if not shard.is_file()]
    except (OSError, TypeError, KeyError, AttributeError) as exc:  # OSError: a name is too long
        raise ModelError(f"{index}: expected an index of safetensors files, found: {exc}") from exc
    if missing or not shards:
        raise ModelError(f"{index}: expected the shards it lists, missing {', '.join(missing)}")
    return shards


def check_weights(files: tuple[Path, ...]) -> None:
    """Read every tensor once, to check it.

    Raises:
        ModelError: A file is truncated or not safetensors, or a tensor holds NaN or infinity.
    """
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping, though it looks like one
                    tensor = tensors.get_tensor(name)
                    # torch has no isfinite for numbers of eight bits.
                    small = tensor.is_floating_point() and tensor.itemsize == 1
                    if not (tensor.float() if small else tensor).isfinite().all():
                        raise ModelError(
                            f"{file}: expected finite weights, found NaN or infinity in {name}; "
                            "the training diverged or the file is damaged, use another checkpoint"
                        )
        except (SafetensorError, OSError) as exc:
            raise ModelError(
                f"{file}: expected a whole safetensors file, found: {exc}; download it again"
            ) from exc


def sha256_of(files: tuple[Path, ...]) -> str:
    """Return the SHA-256 of one file; for several, that of the list of their names and hashes."""
    hashes = []
    for file in files:
        with file.open("rb") as opened:
            hashes.append(hashlib.file_digest(opened, "sha256").hexdigest())
    if len(files) == 1:
        return hashes[0]
    lines = (f"{digest}  {file.name}\n" for digest, file in zip(hashes, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
