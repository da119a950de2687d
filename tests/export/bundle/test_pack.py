"""Writing bundles: deterministic, all at once, and only what a device accepts."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import (
    tiny_bundle,
    tiny_facts,
    tiny_files,
    tiny_golden,
    tiny_image_model,
    tiny_tokenizer,
)

from edge.errors import ModelError
from edge.model.bundle.golden import GoldenSet, read_golden
from edge.model.bundle.read import open_bundle
from export.bundle import pack
from export.bundle.pack import Artefact, golden_npz, write_bundle


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_is_packed_is_read_back(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    assert bundle.hash == hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()
    assert bundle.read("image", "int8") == tiny_image_model()
    assert bundle.tokenizer() == tiny_tokenizer()
    assert bundle.axes() == ("red", "green", "blue", "any")
    assert bundle.precisions("image") == ("fp32", "int8")
    assert bundle.entry("image", "int8").min_cosine == 0.99
    assert bundle.manifest.image == tiny_facts().image
    for role, expected in tiny_golden().items():
        found = bundle.golden()[role]
        for name, array in (*expected.inputs.items(), *expected.answers.items()):
            same = {**found.inputs, **found.answers}[name]
            assert same.dtype == array.dtype
            assert np.array_equal(same, array)


def test_axes_are_optional(tmp_path: Path) -> None:
    files = tiny_files()
    del files["axes.json"]
    assert write_bundle(tmp_path / "bundle", tiny_facts(), files).axes() is None


def test_asking_for_what_a_bundle_lacks_names_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match="expected a file for fp16 image as onnx, found fp32, int8"
    ):
        tiny_bundle(tmp_path / "bundle").read("image", "fp16")


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one = tiny_bundle(tmp_path / "one")
    two = tiny_bundle(tmp_path / "two")
    assert content(one.path) == content(two.path)
    assert one.hash == two.hash
    files = tiny_files() | {"card.md": Artefact("card", b"# Tiny")}
    assert write_bundle(tmp_path / "three", tiny_facts(), files).hash != one.hash


def test_the_clock_leaves_no_trace_in_the_golden_file() -> None:
    with zipfile.ZipFile(io.BytesIO(golden_npz(tiny_golden()))) as zipped:
        assert {info.date_time for info in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_golden_arrays_of_any_memory_order_are_written_in_c_order() -> None:
    golden = tiny_golden()
    image = golden["image"]
    turned = image.inputs["pixels"].transpose(0, 1, 3, 2)
    embedding = np.asfortranarray(image.answers["embedding"])
    image = GoldenSet({"pixels": turned}, {"embedding": embedding})
    found = read_golden(golden_npz({**golden, "image": image}), "golden.npz", tiny_facts())
    assert np.array_equal(found["image"].inputs["pixels"], turned)
    assert np.array_equal(found["image"].answers["embedding"], embedding)


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    files = tiny_files() | {"old.md": Artefact("card", b"old")}
    write_bundle(tmp_path / "bundle", tiny_facts(), files)
    tiny_bundle(tmp_path / "bundle")
    assert set(content(tmp_path / "bundle")) == {*tiny_files(), "manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_another_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ModelError, match="expected a bundle or an empty directory"):
        tiny_bundle(tmp_path)
    assert content(tmp_path) == {"thesis.txt": b"irreplaceable"}


def test_a_failure_leaves_the_old_bundle_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny_bundle(tmp_path / "bundle")

    def full_disk(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pack, "_write", full_disk)
    with pytest.raises(ModelError, match="expected to write a bundle there, found: No space"):
        tiny_bundle(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert open_bundle(tmp_path / "bundle").hash == before.hash


def test_a_rename_that_fails_puts_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny_bundle(tmp_path / "bundle")
    real = Path.rename

    def full_disk(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(ModelError, match="expected to write a bundle there, found: No space"):
        tiny_bundle(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert open_bundle(tmp_path / "bundle").hash == before.hash


# The kernel's own limit, for no file may become longer than so many bytes: each file of the bundle
# is the one that fails in turn, in its middle, whatever writes it.
FULL_DISK = """
import json, resource, sys
from pathlib import Path
from edge.errors import ModelError
from tiny_bundle import tiny_bundle
folder, *limits = sys.argv[1:]
results = []
for out in (Path(folder) / "bundle", Path(folder) / "fresh"):
    for limit in map(int, limits):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            tiny_bundle(out)
            results.append("packed")
        except ModelError as exc:
            results.append(str(exc).partition("found: ")[2])
        if limit == int(limits[-1]):
            break
        there = sorted(path.name for path in Path(folder).iterdir())
        assert there == ["bundle"], (limit, there)
print(json.dumps(results))
"""


def test_a_disk_that_is_full_in_any_file_leaves_nothing_half_written(tmp_path: Path) -> None:
    before = content(tiny_bundle(tmp_path / "bundle").path)
    sizes = sorted({len(data) for data in before.values()})
    limits = [0, *(size - 1 for size in sizes), sizes[-1]]  # with the last it fits: the control
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path, *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    full = ["File too large; choose another --out"] * (len(limits) - 1)
    assert json.loads(done.stdout) == [*full, "packed"] * 2
    assert content(tmp_path / "bundle") == before == content(tmp_path / "fresh")


def test_what_a_device_would_refuse_is_not_packed(tmp_path: Path) -> None:
    files = tiny_files() | {"image.fp32.onnx": Artefact("image", b"no graph", "fp32", 0.9)}
    with pytest.raises(ModelError, match=r"image\.fp32\.onnx: expected an ONNX model"):
        write_bundle(tmp_path / "bundle", tiny_facts(), files)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../escape": Artefact("card", b"x")}, "should match pattern"),
        ({"empty": Artefact("card", b"")}, "greater than 0"),
        ({"card.md": Artefact("card", b"x", "fp32", 0.9)}, "precision and min_cosine"),
        ({"more.json": Artefact("tokenizer", b"{}")}, "several for tokenizer"),
    ],
)
def test_files_that_make_no_bundle(
    tmp_path: Path, files: dict[str, Artefact], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        write_bundle(tmp_path / "bundle", tiny_facts(), tiny_files() | files)


def test_the_manifest_is_readable_and_has_no_nulls(tmp_path: Path) -> None:
    text = (tiny_bundle(tmp_path / "bundle").path / "manifest.json").read_text()
    assert text.startswith('{\n  "schema": "edge-bundle/2",\n  "name": "tiny"')
    assert None not in json.loads(text)["files"][3].values()
