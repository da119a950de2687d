"""Targets: files of a bundle and of a checkpoint, before a runtime or a library sees them."""

import hashlib
import json
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import onnx
import torch
from fuzz_draw import Draw, damaged, with_another_member
from fuzz_target import Target, as_json, bundle_folder, file_with, folder
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from safetensors.torch import load_file, save
from tiny_bundle import tiny_facts

from edge.config.models import EngineConfig
from edge.errors import ConfigError, EngineUnavailable, ModelError
from edge.model.bundle.contract import contract_of
from edge.model.bundle.golden import read_golden
from edge.model.bundle.onnx_file import check_self_contained
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import parse_signature
from edge.model.variants import variants
from edge.rules.text import Tokenizer
from export.bundle.describe import facts
from export.checkpoints.hf_models import family_of, preprocessor
from export.checkpoints.open_clip_models import CONFIG, read_config
from export.checkpoints.tokenizer_json import bert_stand_in, clip_tokenizer, gemma_stand_in
from export.checkpoints.weights import HF, check_weights, weight_files
from export.default_bundle.torch_file import read_state_dict
from export.families.facts import hf_image_spec, open_clip_image_spec

_CONFIG: Final = {"model_type": "clip", "projection_dim": 24, "text_config": {"vocab_size": 1514}}
_PREPROCESSOR: Final = {
    "do_resize": True, "size": {"shortest_edge": 32}, "do_center_crop": True, "resample": 3,
    "crop_size": {"height": 32, "width": 32}, "do_rescale": True, "rescale_factor": 0.00392,
    "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
_OPEN_CLIP: Final = {
    "model_cfg": {"embed_dim": 24, "vision_cfg": {"image_size": 32}, "text_cfg": {}},
    "preprocess_cfg": {
        "size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic", "resize_mode": "shortest", "mode": "RGB",
    },
}  # fmt: skip
_SPECIAL: Final = {name: {"id": name, "ids": [2], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
_FRAMES: Final = (
    None, {"type": "ByteLevel"},
    {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
    {
        "type": "TemplateProcessing", "special_tokens": _SPECIAL,
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
    },
)  # fmt: skip
_INDEX: Final = {"metadata": {"total_size": 24}, "weight_map": {"a": HF, "b": HF}}


def _manifest(data: bytes) -> None:
    """A manifest as it comes or with changes, beside the files that it should list."""
    draw = Draw(data)
    path = _own_bundle()
    (path / "manifest.json").write_bytes(draw.json(_tiny_manifest()))
    bundle = open_bundle(path)
    for role in bundle.manifest.graphs:
        contract_of(bundle.manifest, role)
    facts(bundle)
    with suppress(EngineUnavailable):
        variants(bundle, EngineConfig())


def _bundle(data: bytes) -> None:
    """A bundle that is right in itself, with one damaged file: what a runtime would be given."""
    draw = Draw(data)
    document = json.loads(_manifest_bytes())
    entry = draw.pick(document["files"])
    with folder() as made:
        path = Path(shutil.copytree(bundle_folder(), made / "bundle"))
        file = path / entry["file"]
        whole = file.read_bytes()
        if entry["role"] in {"tokenizer", "axes"} and draw.number(2):
            other = as_json(draw.changes(json.loads(whole), 1 + draw.number(2)))
        else:
            other = damaged(whole, draw, 1 + draw.number(4))
        file.write_bytes(other)
        entry["sha256"], entry["size"] = hashlib.sha256(other).hexdigest(), len(other)
        (path / "manifest.json").write_bytes(as_json(document))
        bundle = open_bundle(path)
        bundle.verify()
        Tokenizer(bundle.tokenizer(), bundle.manifest.text).encode(["red", "a car"])
        for axis in bundle.axes() or ():
            axis.encode()


def _tokenizer(data: bytes) -> None:
    draw = Draw(data)
    frame = draw.pick(_FRAMES)
    content = draw.json({**draw.pick(_tokenizers()), "post_processor": frame})
    tokenizer = Tokenizer(content, tiny_facts().text)
    for text in ("red", "a car [UNK]", "é𐏿"):
        with suppress(ConfigError):
            assert tokenizer.encode([text]).shape == (1, tiny_facts().text.context_length)
            tokenizer.unknown([text])


def _signature(data: bytes) -> None:
    parse_signature(data, Path("SIGNATURE"))


def _onnx(data: bytes) -> None:
    """What passes has no tensor elsewhere, as ONNX's own parser sees it."""
    check_self_contained(data, "model.onnx")
    with suppress(DecodeError):
        model = onnx.load_model_from_string(data)
        for tensor in onnx.external_data_helper._get_all_tensors(model):
            assert not onnx.external_data_helper.uses_external_data(tensor)
            assert not tensor.external_data


def _golden(data: bytes) -> None:
    draw = Draw(data)
    whole = (bundle_folder() / "golden.npz").read_bytes()
    content = with_another_member(whole, draw) if draw.number(2) else draw.rest()
    read_golden(content, "golden.npz", tiny_facts())


def _safetensors(data: bytes) -> None:
    """What passes is finite, as the library reads it afterwards."""
    with file_with(data, HF) as path:
        check_weights((path,))
        for tensor in load_file(path).values():
            assert bool(tensor.to(torch.float64).isfinite().all())


def _checkpoint(data: bytes) -> None:
    """Folder of a checkpoint: its files as they come, or with changes in their JSON."""
    draw = Draw(data)
    with folder() as path:
        for name, document in (
            ("config.json", _CONFIG), ("preprocessor_config.json", _PREPROCESSOR),
            (CONFIG, _OPEN_CLIP), (f"{HF}.index.json", _INDEX),
        ):  # fmt: skip
            form = draw.number(4)
            content = (
                draw.take(draw.number(6000)) if form == 3 else as_json(draw.changes(document, form))
            )
            (path / name).write_bytes(content)
        (path / "other.safetensors").write_bytes(_weights())
        for read in (
            lambda: family_of(path),
            lambda: hf_image_spec(preprocessor(path), 32),
            lambda: open_clip_image_spec(read_config(path).get("preprocess_cfg", {}), 32, 32),
            lambda: weight_files(path, HF),
        ):
            with suppress(ModelError):
                read()


def _torch(data: bytes) -> None:
    for array in read_state_dict(data).values():
        assert array.nbytes <= len(data)


@cache
def _own_bundle() -> Path:
    path = Path(mkdtemp(prefix="fuzz")) / "bundle"
    shutil.copytree(bundle_folder(), path)
    return path


@cache
def _manifest_bytes() -> bytes:
    return (bundle_folder() / "manifest.json").read_bytes()


@cache
def _tokenizers() -> list[dict[str, Any]]:
    """Small tokenizers of each kind that bundles have."""
    tiny = (bundle_folder() / "tokenizer.json").read_bytes()
    made = (tiny, bert_stand_in(140), clip_tokenizer(4), gemma_stand_in())
    return [json.loads(document) for document in made]


@cache
def _tiny_manifest() -> Any:
    return json.loads(_manifest_bytes())


@cache
def _weights() -> bytes:
    return save({"a": torch.ones(2, 3)})


_TOKENS: Final = (
    '"WordPiece"', '"BPE"', '"Unigram"', '"merges"', '"Split"', '"Regex"', '"Replace"', '"Sequence"',
    '"NFC"', '"Precompiled"', '"ByteLevel"', '"byte_fallback"', "(?=", "\\\\p{L}", "[[",
)  # fmt: skip
_JSON: Final = ('"schema"', '"files"', '"role"', '"precision"', "[" * 32, "1e999", "\\ud800")
_TENSORS: Final = ('"dtype"', '"F32"', '"BF16"', '"shape"', '"data_offsets"', '"__metadata__"')
_PICKLE: Final = ("ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nFloatStorage\n", "storage")
TARGETS: Final = {
    "manifest": Target(
        _manifest, (ModelError,), ("edge.model.bundle.read", "edge.model.bundle.manifest",
        "edge.model.bundle.contract", "export.bundle.describe:facts"), _JSON,
    ),
    "bundle": Target(
        _bundle, (ModelError, ConfigError), ("edge.model.bundle.read", "edge.model.bundle.golden",
        "edge.model.bundle.onnx_file"),
    ),
    "tokenizer": Target(_tokenizer, (ModelError,), ("edge.rules.text:Tokenizer,_frame,_unknown_id,_refuse",), _TOKENS),
    "signature": Target(_signature, (ModelError,), ("edge.model.bundle.signature",)),
    "onnx": Target(_onnx, (ModelError,), ("edge.model.bundle.onnx_file",)),
    "golden": Target(_golden, (ModelError,), ("edge.model.bundle.golden",)),
    "safetensors": Target(_safetensors, (ModelError,), ("export.checkpoints.weights:check_weights",), _TENSORS),
    "checkpoint": Target(
        _checkpoint, (ModelError,), ("export.families.preprocessing", "export.families.facts",
        "export.checkpoints.weights:weight_files,_shards", "export.checkpoints.json_file"), _JSON,
    ),
    "torch": Target(_torch, (ModelError,), ("export.default_bundle.torch_file",), _PICKLE),
}  # fmt: skip
