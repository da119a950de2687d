"""``edge-export keygen``, ``sign``, ``verify``, ``inspect`` and ``diff`` as they are typed."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files

from edge.model.bundle.manifest import ModelFacts, Origin
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys
from export.bundle.pack import Artefact, write_bundle
from export.cli.main import main

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


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def edge_export(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``edge-export ARGUMENTS`` in this process."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("EDGE_SIGNING_PASSPHRASE", raising=False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["edge-export", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Outcome(int(ended.value.code or 0), out, " ".join(err.split()))

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "bundle").path


@pytest.fixture
def key(tmp_path: Path, edge_export: Run) -> Path:
    assert edge_export("keygen", tmp_path / "site.key").code == 0
    return tmp_path / "site.key"


def other_bundle(path: Path, **facts: object) -> Path:
    """The tiny bundle with other facts, what its variants lost, and a card."""
    files = tiny_files() | {
        "accuracy.json": Artefact("accuracy", json.dumps(ACCURACY).encode()),
        "a.md": Artefact("card", b"one"),
        "b.md": Artefact("card", b"two"),
    }
    model = tiny_facts().model_dump(by_alias=True) | facts
    return write_bundle(path, ModelFacts.model_validate(model), files).path


@pytest.mark.parametrize("command", ["keygen", "sign", "verify", "inspect", "diff"])
def test_help_has_an_example(edge_export: Run, command: str) -> None:
    assert f"Example: edge-export {command}" in edge_export(command, "--help").out
    assert re.search(rf"\b{command}\b", edge_export("--help").out)


# keygen, sign, verify


def test_the_whole_way_from_a_key_to_a_verified_bundle(
    edge_export: Run, bundle: Path, tmp_path: Path
) -> None:
    made = edge_export("keygen", tmp_path / "site.key")
    [public] = read_keys([tmp_path / "site.key.pub"])
    assert made.out.startswith(f"key {public.id}: {tmp_path}/site.key, to be kept secret; ")
    before = edge_export("verify", bundle)
    assert (before.code, before.out.strip().endswith(", not signed")) == (0, True)
    signed = edge_export("sign", bundle, "--key", tmp_path / "site.key")
    assert (signed.code, f"signed by {public.id}" in signed.out) == (0, True)
    verified = edge_export("verify", bundle, "--key", public.path)
    assert verified.out.startswith(f"{bundle}: tiny, 6 files (0.0 MB) as the manifest says, hash ")
    assert verified.out.strip().endswith(f"signed by {public}")
    unverified = edge_export("verify", bundle)
    assert unverified.out.strip().endswith(
        f"signature by {public.id} not verified, as no key was given"
    )


def test_all_of_it_as_json(edge_export: Run, bundle: Path, tmp_path: Path) -> None:
    key = tmp_path / "site.key"
    made = json.loads(edge_export("keygen", key, "--json").out)
    assert made == {"id": made["id"], "private": str(key), "public": f"{key}.pub"}
    digest = open_bundle(bundle).hash
    signed = json.loads(edge_export("sign", bundle, "--key", key, "--json").out)
    assert signed == {"path": str(bundle), "hash": digest, "signed": made["id"]}
    size = sum(file.size for file in open_bundle(bundle).manifest.files)
    facts = {"path": str(bundle), "name": "tiny", "hash": digest, "files": 6, "bytes": size}
    verified = json.loads(edge_export("verify", bundle, "--key", made["public"], "--json").out)
    assert verified == facts | {"signed": made["id"], "verified": True}
    assert json.loads(edge_export("verify", bundle, "--json").out)["verified"] is False
    (bundle / "SIGNATURE").unlink()
    assert json.loads(edge_export("verify", bundle, "--json").out)["signed"] is None


def test_what_is_wrong_is_told_with_an_exit_code(
    edge_export: Run, bundle: Path, key: Path, tmp_path: Path
) -> None:
    def assert_told(code: int, words: str, *arguments: object) -> None:
        outcome = edge_export(*arguments)
        assert (outcome.code, words in outcome.err) == (code, True), outcome.err
        assert outcome.out == ""

    public = f"{key}.pub"
    assert_told(2, "expected no such file yet", "keygen", key)
    assert_told(2, "found public key; name the file that", "sign", bundle, "--key", public)
    assert_told(2, "No such file", "sign", bundle, "--key", tmp_path / "absent")
    assert_told(3, "expected a bundle", "sign", tmp_path, "--key", key)
    assert_told(2, "found a private key", "verify", bundle, "--key", key)
    assert_told(3, "found none; sign the bundle with", "verify", bundle, "--key", public)
    assert_told(3, "expected a bundle", "inspect", tmp_path)
    assert_told(3, "expected a bundle", "diff", bundle, tmp_path)
    axes = bundle / "axes.json"
    axes.write_bytes(axes.read_bytes().replace(b"red", b"rad"))
    assert_told(3, "axes.json: expected SHA-256", "verify", bundle)
    assert_told(3, "axes.json: expected SHA-256", "sign", bundle, "--key", key)


def test_the_passphrase_comes_from_the_environment(
    edge_export: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked.key"
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "correct horse")
    assert edge_export("keygen", key).code == 0
    assert edge_export("sign", bundle, "--key", key).code == 0
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "battery staple")
    wrong = edge_export("sign", bundle, "--key", key)
    assert (wrong.code, "another passphrase" in wrong.err) == (2, True)
    assert "battery staple" not in wrong.err
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "")
    empty = edge_export("keygen", tmp_path / "open.key")
    assert (empty.code, "found an empty one" in empty.err) == (2, True)
    assert not (tmp_path / "open.key").exists()


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "cryptography":
            raise ModuleNotFoundError("No module named 'cryptography'", name=name)
sys.meta_path.insert(0, Absent())
from export.cli.main import main
for command in (["verify", sys.argv[1]], ["keygen", sys.argv[2]]):
    sys.argv = ["edge-export", *command]
    try:
        main()
    except SystemExit as ended:
        print("exit code", ended.code)
"""


def test_without_the_extra_it_says_what_to_install_and_the_rest_works(
    bundle: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, bundle, tmp_path / "site.key"],
        capture_output=True,
        text=True,
        check=True,
    )
    verified, *codes = done.stdout.splitlines()
    assert verified.endswith(", not signed")
    assert codes == ["exit code 0", "exit code 2"]
    assert "pip install 'camera-edge-runtime[signing]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "site.key").exists()


# inspect


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
def test_losses_that_are_none_are_told(edge_export: Run, tmp_path: Path, content: bytes) -> None:
    files = tiny_files() | {"accuracy.json": Artefact("accuracy", content)}
    path = write_bundle(tmp_path / "bundle", tiny_facts(), files).path
    outcome = edge_export("inspect", path)
    assert (outcome.code, "accuracy.json: expected" in outcome.err) == (3, True)


# diff


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
