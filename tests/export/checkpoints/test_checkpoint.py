"""Opening checkpoints: from a directory, at random; and what is refused."""

import builtins
import dataclasses
import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from broken_checkpoint import change_weights, edit
from open_clip import list_models
from safetensors.torch import load_file

from edge.errors import ConfigError, ModelError
from export.checkpoints import catalog, hf_models, open_clip_models, tokenizer_json
from export.checkpoints.catalog import CATALOG, Row, find
from export.checkpoints.checkpoint import open_checkpoint
from export.families import FAMILIES, assemble


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


def test_a_seed_or_a_revision_of_a_directory_makes_no_sense(saved: Path) -> None:
    for options in ({"random_weights": 1}, {"revision": "main"}):
        with pytest.raises(ConfigError, match="with a name of the catalogue"):
            open_checkpoint(str(saved), **options)


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
