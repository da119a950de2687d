"""Weight files: sharded, pickled, missing, truncated and without numbers."""

import json
from pathlib import Path

import pytest
import torch
from broken_checkpoint import change_weights
from safetensors.torch import load_file, save_file

from edge.errors import ModelError
from export.checkpoints.checkpoint import open_checkpoint
from export.checkpoints.weights import HF, check_weights, weight_files


def test_sharded_weights_are_one_checkpoint(saved: Path, clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    (clip / "model.safetensors").unlink()
    halves = sorted(weights)[::2], sorted(weights)[1::2]
    names = [f"model-0000{index}-of-00002.safetensors" for index in (1, 2)]
    for name, keys in zip(names, halves, strict=True):
        save_file({key: weights[key] for key in keys}, clip / name, metadata={"format": "pt"})
    where = {key: name for name, keys in zip(names, halves, strict=True) for key in keys}
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (clip / "model.safetensors.index.json").write_text(json.dumps(index))
    opened, whole = open_checkpoint(str(clip)), open_checkpoint(str(saved))
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], tensor)
    assert opened.origin.files == tuple(names)
    assert opened.origin.sha256 != whole.origin.sha256
    (clip / names[1]).unlink()
    with pytest.raises(ModelError, match=f"missing {names[1]}"):
        open_checkpoint(str(clip))


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "RemoteCLIP-ViT-B-32.pt"])
def test_a_checkpoint_of_pickles_is_refused_unread(clip: Path, pickle: str) -> None:
    (clip / "model.safetensors").unlink()
    (clip / pickle).write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(ModelError, match=rf"found only {pickle}; a pickle can run any code"):
        open_checkpoint(str(clip))


def test_a_pickle_beside_the_safetensors_is_left_alone(clip: Path) -> None:
    (clip / "pytorch_model.bin").write_bytes(b"not read")
    assert open_checkpoint(str(clip)).origin.files == ("model.safetensors",)


def test_missing_weights_are_named(clip: Path) -> None:
    (clip / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"expected the weights as model.safetensors, found no"):
        open_checkpoint(str(clip))


def test_truncated_weights_are_refused(clip: Path) -> None:
    path = clip / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"expected a whole safetensors file.*download it again"):
        open_checkpoint(str(clip))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(clip: Path, bad: float) -> None:
    name = "text_model.encoder.layers.1.mlp.fc1.weight"

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[name][3, 5] = bad

    change_weights(clip / "model.safetensors", spoil)
    with pytest.raises(ModelError, match=f"found NaN or infinity in {name}"):
        open_checkpoint(str(clip))


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_eight_bits_are_checked_too(tmp_path: Path, kind: torch.dtype) -> None:
    path = tmp_path / HF
    save_file({"a": torch.ones(4).to(kind)}, path)
    check_weights((path,))
    save_file({"a": torch.full((4,), float("nan")).to(kind)}, path)
    with pytest.raises(ModelError, match="found NaN"):
        check_weights((path,))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"5",
        b'{"weight_map": 5}',
        b"9" * 5000,
        b'{"weight_map": {"a": "' + b"x" * 300 + b'"}}',
        b'{"weight_map": {"a": "\\u0000"}}',
    ],
)
def test_an_index_of_something_else_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{HF}.index.json").write_bytes(content)
    with pytest.raises(ModelError, match="expected"):
        weight_files(tmp_path, HF)
