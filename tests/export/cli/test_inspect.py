"""``edge-export inspect`` and ``diff`` as they are typed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import Run
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files

from edge.model.bundle.manifest import ModelFacts, Origin
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys
from export.bundle.pack import Artefact, write_bundle

# As export/proof/card.py writes it.
ACCURACY: dict[str, Any] = {
    "variants": {
        "image.int8.onnx": {
            "role": "image",
            "precision": "int8",
            "inputs": "3 frames",
            "mean_cosine": 0.9912,
            "outputs": {"embedding": {"max_abs": 0.03}},
            "alerts": {"count": 30, "total": 31, "low": 0.84, "high": 0.99},
            "checks": [{"name": "min_cosine", "passed": True}, {"name": "spread", "passed": True}],
        }
    },
    "left_out": {"image.fp16.onnx": {"reasons": ["min_cosine 0.71 below 0.96", "constant"]}},
}


def other_bundle(path: Path, **facts: object) -> Path:
    """The tiny bundle with other facts, what its variants lost, and a card."""
    files = tiny_files() | {
        "accuracy.json": Artefact("accuracy", json.dumps(ACCURACY).encode()),
        "a.md": Artefact("card", b"one"),
        "b.md": Artefact("card", b"two"),
    }
    model = tiny_facts().model_dump(by_alias=True) | facts
    return write_bundle(path, ModelFacts.model_validate(model), files).path


@pytest.mark.parametrize("command", ["inspect", "diff"])
def test_help_has_an_example(edge_export: Run, command: str) -> None:
    assert f"Example: edge-export {command}" in edge_export(command, "--help").out
    assert re.search(rf"\b{command}\b", edge_export("--help").out)


def test_inspect_shows_what_a_bundle_is(edge_export: Run, key: Path, tmp_path: Path) -> None:
    origin = Origin(
        package="weights", version="1.2", registry="hub", sha256="0" * 64, licence="MIT"
    )
    model = tiny_facts().model.model_copy(update={"origins": (origin,)})
    path = other_bundle(tmp_path / "other", model=model.model_dump())
    edge_export("sign", path, "--key", key)
    [public] = read_keys([Path(f"{key}.pub")])
    shown = edge_export("inspect", path)
    assert shown.code == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    for line in (
        f"bundle tiny, edge-bundle/2, in {path}",
        "model tiny, family tiny, revision 1",
        "licence Apache-2.0",
        "class F, one frame at a time",
        "embedding 4 numbers",
        f"hash {open_bundle(path).hash}",
        f"signature signature by {public.id} not verified, as no key was given",
        "origin weights 1.2 from hub, MIT",
        "image.int8.onnx inputs 3 frames, mean_cosine 0.9912, alerts 30 of 31",
        "image.fp16.onnx left out reasons min_cosine 0.71 below 0.96; constant",
    ):
        assert line in lines
    [row] = [line.split() for line in lines if line.startswith("image int8")]
    assert row[:6] == ["image", "int8", "onnx", "image.int8.onnx", "408", "bytes"]
    assert row[6] == "0.99"


def test_inspect_as_json_is_the_manifest_and_more(edge_export: Run, tmp_path: Path) -> None:
    path = other_bundle(tmp_path / "other")
    found = json.loads(edge_export("inspect", path, "--json").out)
    manifest = json.loads((path / "manifest.json").read_bytes())
    assert {key: found[key] for key in manifest if key not in {"files", "model"}} == {
        key: value for key, value in manifest.items() if key not in {"files", "model"}
    }
    [int8] = [file for file in found["files"] if file["file"] == "image.int8.onnx"]
    assert int8["accuracy"] == ACCURACY["variants"]["image.int8.onnx"]
    assert found["left_out"] == ACCURACY["left_out"]
    assert (found["signed"], found["hash"]) == (None, open_bundle(path).hash)


def test_a_bundle_cannot_steer_the_terminal(edge_export: Run, tmp_path: Path) -> None:
    model = tiny_facts().model.model_copy(update={"licence": "MIT\x1b[2J\x9b1m\nhash forged"})
    path = other_bundle(tmp_path / "other", model=model.model_dump())
    shown = (
        edge_export("inspect", path).out
        + edge_export("diff", path, tiny_bundle(tmp_path / "b").path).out
    )
    assert "MIT\N{REPLACEMENT CHARACTER}[2J" in shown
    assert [c for c in shown if not c.isprintable() and c != "\n"] == []
    assert not any(line.startswith("hash forged") for line in shown.splitlines())


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b'{"variants": []}', b'{"variants": {"a": 1}}', b"\xff", b"[" * 100_000],
)
def test_losses_that_are_none_are_reported(
    edge_export: Run, tmp_path: Path, content: bytes
) -> None:
    files = tiny_files() | {"accuracy.json": Artefact("accuracy", content)}
    path = write_bundle(tmp_path / "bundle", tiny_facts(), files).path
    outcome = edge_export("inspect", path)
    assert (outcome.code, "accuracy.json: expected" in outcome.err) == (3, True)


def test_a_bundle_equals_its_copy(edge_export: Run, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    outcome = edge_export("diff", bundle, tmp_path / "copy")
    assert outcome.code == 0
    assert outcome.out.startswith(f"equal: both have the hash {open_bundle(bundle).hash}\n")
    assert "files: 6 the same, 0 differ" in outcome.out
    assert json.loads(edge_export("diff", bundle, tmp_path / "copy", "--json").out)["equal"] is True


def test_diff_shows_facts_files_and_losses_side_by_side(
    edge_export: Run, bundle: Path, tmp_path: Path
) -> None:
    other = other_bundle(tmp_path / "other", decision={"threshold": 0.2, "hysteresis": 0.02})
    outcome = edge_export("diff", bundle, other)
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert outcome.code == 1
    for line in (
        "decision.threshold 0.1 0.2",
        "accuracy.inputs - 3 frames",
        "accuracy.mean_cosine - 0.9912",
        "accuracy.alerts.count - 30",
        "accuracy.checks - 2 entries",
        "card a.md - only here: a.md",
        "files: 5 the same, 4 differ",
        "embeddings: those of A and B compare: family, id and revision agree",
    ):
        assert line in lines
    assert not any("hysteresis" in line or line.startswith("text") for line in lines)
    found = json.loads(edge_export("diff", bundle, other, "--json").out)
    assert found["facts"]["decision.threshold"] == {"a": 0.1, "b": 0.2}
    assert found["files"]["text fp32 onnx"]["same"] is True
    assert found["files"]["accuracy"]["a"] is None


def test_a_graph_that_differs_shows_its_hash_and_size(
    edge_export: Run, bundle: Path, tmp_path: Path
) -> None:
    files = tiny_files()
    files["vision.onnx"] = files.pop("image.int8.onnx")
    files["axes.json"] = Artefact("axes", b'["red", "green", "blue", "all"] ')
    other = write_bundle(tmp_path / "other", tiny_facts(), files).path
    found = json.loads(edge_export("diff", bundle, other, "--json").out)["files"]
    renamed, axes = found["image int8 onnx"], found["axes"]
    assert (renamed["a"]["file"], renamed["b"]["file"]) == ("image.int8.onnx", "vision.onnx")
    assert renamed["a"]["sha256"] == renamed["b"]["sha256"]
    assert axes["b"]["size"] == axes["a"]["size"] + 1
    table = [line.split() for line in edge_export("diff", bundle, other).out.splitlines()]
    assert ["axes", "sha256", axes["a"]["sha256"][:12], axes["b"]["sha256"][:12]] in table


@pytest.mark.parametrize("key_", ["family", "id", "revision"])
def test_embeddings_of_another_model_must_not_be_compared(
    edge_export: Run, bundle: Path, tmp_path: Path, key_: str
) -> None:
    model = tiny_facts().model.model_copy(update={key_: "another"})
    other = other_bundle(tmp_path / "other", model=model.model_dump())
    outcome = edge_export("diff", bundle, other)
    assert "embeddings: those of A and B must not be compared" in outcome.out
    found = json.loads(edge_export("diff", bundle, other, "--json").out)
    assert found["embeddings_compare"] is False
    assert found["facts"][f"model.{key_}"]["b"] == "another"


def test_a_signature_alone_is_a_difference(
    edge_export: Run, bundle: Path, key: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    edge_export("sign", bundle, "--key", key)
    outcome = edge_export("diff", bundle, tmp_path / "copy", "--json")
    assert outcome.code == 1
    [public] = read_keys([Path(f"{key}.pub")])
    assert json.loads(outcome.out)["facts"] == {"signed": {"a": public.id, "b": None}}
