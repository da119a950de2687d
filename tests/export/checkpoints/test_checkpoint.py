"""Opening checkpoints: from a directory, from the hub's cache, at random; and what is refused."""

import builtins
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tiny_checkpoints as testing
import torch
import transformers
from open_clip import list_models
from safetensors.torch import load_file, save_file

from edge.errors import ConfigError, ModelError
from export.checkpoints import catalog, hf_models, open_clip_models, tokenizer_json
from export.checkpoints.catalog import CATALOG, Row, find
from export.checkpoints.checkpoint import open_checkpoint
from export.families import FAMILIES, assemble


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.tiny_clip(tmp_path_factory.mktemp("clip") / "My CLIP")


@pytest.fixture(scope="module")
def saved_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.tiny_open_clip(tmp_path_factory.mktemp("open_clip") / "remote")


@pytest.fixture
def clip(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(saved, tmp_path / "clip")


@pytest.fixture
def open_clip(saved_open_clip: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved_open_clip, tmp_path / "open_clip")


def change_weights(path: Path, change: Callable[..., Any]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def edit(path: Path, **changes: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_directory_is_opened_with_everything_that_belongs_to_it(saved: Path) -> None:
    opened = open_checkpoint(str(saved))
    assert (opened.name, opened.family, opened.row) == ("my-clip", "clip", None)
    assert opened.directory == saved
    assert json.loads(opened.tokenizer)["model"]["type"] == "BPE"
    assert opened.preprocessor["crop_size"] == {"height": 32, "width": 32}
    assert not opened.model.training
    assert {p.dtype for p in opened.model.parameters()} == {torch.float32}
    digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert opened.origin.sha256 == digest
    assert opened.origin.version == digest[:16]
    assert opened.origin.registry == "local"
    assert "not stated" in opened.origin.licence
    assert opened.origin.files == ("model.safetensors",)
    weights = load_file(saved / "model.safetensors")
    assert torch.equal(opened.model.state_dict()["logit_scale"], weights["logit_scale"])


def test_half_precision_weights_become_float32(clip: Path) -> None:
    change_weights(
        clip / "model.safetensors", lambda w: w.update({name: t.half() for name, t in w.items()})
    )
    edit(clip / "config.json", dtype="float16")
    opened = open_checkpoint(str(clip))
    assert {p.dtype for p in opened.model.parameters()} == {torch.float32}


def test_a_directory_of_open_clip_is_known_by_its_config(saved_open_clip: Path) -> None:
    opened = open_checkpoint(str(saved_open_clip))
    assert (opened.family, opened.config) == ("open_clip", None)
    assert opened.preprocessor["resize_mode"] == "shortest"


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


# -- refused --


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


def test_missing_tensors_are_an_error_and_not_random(clip: Path) -> None:
    change_weights(clip / "model.safetensors", lambda w: w.pop("visual_projection.weight"))
    with pytest.raises(ModelError, match=r"missing 1, among them visual_projection.weight"):
        open_checkpoint(str(clip))


def test_tensors_of_another_size_are_an_error(clip: Path) -> None:
    def grow(weights: dict[str, torch.Tensor]) -> None:
        weights["visual_projection.weight"] = torch.ones(24, 48)

    change_weights(clip / "model.safetensors", grow)
    with pytest.raises(ModelError, match="expected a CLIPModel, found one that does not load"):
        open_checkpoint(str(clip))


def test_another_architecture_is_named(clip: Path) -> None:
    edit(clip / "config.json", model_type="bert")
    with pytest.raises(ModelError, match=r"expected a model of type clip, siglip.*found 'bert'"):
        open_checkpoint(str(clip))


def test_a_row_does_not_take_a_checkpoint_of_another_family(clip: Path) -> None:
    with pytest.raises(ModelError, match="type siglip for the family siglip2, found 'clip'"):
        hf_models.load(clip, "siglip2")


def test_a_missing_tokenizer_is_named(clip: Path) -> None:
    (clip / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="expected a tokenizer"):
        open_checkpoint(str(clip))


def test_a_missing_preprocessor_is_named(clip: Path) -> None:
    (clip / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"expected preprocessor_config.json"):
        open_checkpoint(str(clip))


def test_the_preprocessor_may_be_part_of_a_processor_of_transformers_5(clip: Path) -> None:
    path = clip / "preprocessor_config.json"
    inner = json.loads(path.read_text())
    path.unlink()
    (clip / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert open_checkpoint(str(clip)).preprocessor == inner


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_config_is_named(clip: Path, content: str) -> None:
    (clip / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config.json: expected (JSON|a JSON object)"):
        open_checkpoint(str(clip))


def test_a_directory_without_a_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config.json or open_clip_config.json, found neither"):
        open_checkpoint(str(tmp_path))


def test_open_clip_weights_that_do_not_fit_are_an_error(open_clip: Path) -> None:
    path = open_clip / "open_clip_model.safetensors"
    change_weights(path, lambda weights: weights.pop("text_projection"))
    with pytest.raises(ModelError, match=r"Missing key\(s\).*text_projection"):
        open_checkpoint(str(open_clip))


def test_an_architecture_that_open_clip_does_not_know_is_named(open_clip: Path) -> None:
    document = json.loads((open_clip / open_clip_models.CONFIG).read_text())
    document["model_cfg"]["vision_cfg"]["wings"] = 2
    (open_clip / open_clip_models.CONFIG).write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"an architecture that open_clip knows.*wings"):
        open_checkpoint(str(open_clip))


def test_an_open_clip_model_with_another_tokenizer_is_refused(open_clip: Path) -> None:
    path = open_clip / open_clip_models.CONFIG
    document = json.loads(path.read_text())
    document["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    opened = open_checkpoint(str(open_clip))
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"CLIP's own tokenizer, found .*canonicalize"):
        assemble(opened)


def test_a_broken_torchvision_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "open_clip":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ConfigError, match=r"torchvision that fits torch.*nms does not exist"):
        open_clip_models.random("ViT-B-32")


def test_a_transformers_that_cannot_import_its_models_is_a_message(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, real: ModuleType) -> None:
            self.utils = real.utils

        def __getattr__(self, name: str) -> None:
            raise ModuleNotFoundError(f"Could not import module '{name}'") from RuntimeError(
                "operator torchvision::nms does not exist"
            )

    monkeypatch.setattr(hf_models, "_transformers", lambda: Broken(transformers))
    with pytest.raises(ConfigError, match="cannot import it: operator torchvision::nms"):
        hf_models.load(clip, "clip")


# -- the hub --


def in_the_cache(
    monkeypatch: pytest.MonkeyPatch, root: Path, repository: str, commit: str, source: Path
) -> None:
    """As the hub's own client leaves a repository that it has downloaded."""
    home = root / f"models--{repository.replace('/', '--')}"
    shutil.copytree(source, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))


def test_a_row_is_opened_at_the_commit_that_it_pins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path
) -> None:
    row = find("clip-vit-b-32")
    assert row.revision is not None
    in_the_cache(monkeypatch, tmp_path, row.hub, row.revision, saved)
    opened = open_checkpoint("clip-vit-b-32")
    assert opened.name == "clip-vit-b-32"
    assert (opened.origin.package, opened.origin.version) == (row.hub, row.revision)
    assert (opened.origin.registry, opened.origin.licence) == ("hub", row.licence)
    assert open_checkpoint(row.hub).origin == opened.origin


def test_a_repository_without_a_row_is_opened_and_its_commit_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path
) -> None:
    in_the_cache(monkeypatch, tmp_path, "someone/Own-CLIP", "ab" * 20, saved)
    opened = open_checkpoint("someone/Own-CLIP")
    assert (opened.name, opened.origin.version) == ("own-clip", "ab" * 20)
    assert opened.row is None
    with pytest.raises(ConfigError, match=r"someone/Own-CLIP at cdcd"):
        open_checkpoint("someone/Own-CLIP", revision="cd" * 20)


def test_an_unreachable_hub_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"expected to reach the hub.*copy the directory here"):
        open_checkpoint("clip-vit-b-32")


def test_a_name_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"catalogue, a hub repository .* or a directory"):
        open_checkpoint(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="two models"):
        open_checkpoint("xclip")


def test_a_seed_or_a_revision_of_a_directory_makes_no_sense(saved: Path) -> None:
    for options in ({"random_weights": 1}, {"revision": "main"}):
        with pytest.raises(ConfigError, match="with a name of the catalogue"):
            open_checkpoint(str(saved), **options)


# -- random weights --


@pytest.fixture
def small_row(monkeypatch: pytest.MonkeyPatch) -> Row:
    """A row whose sizes are those of the tiny checkpoint."""
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    row = dataclasses.replace(
        find("clip-vit-b-32"), sizes={"text_config": width, "vision_config": width}
    )
    monkeypatch.setattr(catalog, "find", lambda name: row)
    return row


def test_random_weights_are_the_rows_architecture_and_the_seeds_numbers(small_row: Row) -> None:
    one, same, other = (open_checkpoint("x", random_weights=seed) for seed in (1, 1, 2))
    assert one.origin.sha256 == same.origin.sha256 != other.origin.sha256
    assert one.origin.version == "random-weights-1"
    assert one.origin.licence == "none: random weights"
    assert (one.name, one.directory) == ("clip-vit-b-32-random", None)
    assert one.config.vision_config.patch_size == 32
    assert json.loads(one.tokenizer) == json.loads(tokenizer_json.clip_tokenizer())
    assert assemble(one).facts.image.height == 224


def test_opening_at_random_leaves_the_callers_random_numbers_alone(small_row: Row) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    open_checkpoint("x", random_weights=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_a_rows_sizes_are_those_of_its_config_class(row: Row) -> None:
    """Without the weights: what differs from the defaults is spelled as the class spells it."""
    assert row.family in FAMILIES
    if row.family == "open_clip":
        assert row.sizes["model"] in list_models()
        return
    config = getattr(transformers, hf_models._ARCHITECTURES[row.family].config)(
        **hf_models._plain(row.sizes)
    )
    for name, value in row.sizes.items():
        if isinstance(value, int):
            assert getattr(config, name) == value
            continue
        part = getattr(config, name)
        assert value.items() <= part.to_dict().items()
        assert value.keys() <= type(part)().to_dict().keys(), "not a setting of this class"
