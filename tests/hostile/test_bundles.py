"""Every way a bundle can be broken, each beside the same bundle left alone."""

import io
import json
import os
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files, tiny_golden, tiny_image_model

from edge.errors import ModelError
from edge.model.bundle.golden import read_golden
from edge.model.bundle.onnx_file import check_self_contained
from edge.model.bundle.read import open_bundle
from export.bundle.pack import Artefact, golden_npz, write_bundle


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("original") / "bundle").path


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to break; and the control: the one left alone opens, before and after."""
    open_bundle(original).verify()
    copy = tmp_path / "bundle"
    shutil.copytree(original, copy)
    open_bundle(copy).verify()
    yield copy
    open_bundle(original).verify()


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def refused(bundle: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_bundle(bundle).verify()


def refused_at_once(bundle: Path, message: str) -> None:
    """Before any file's content was read."""
    with pytest.raises(ModelError, match=message):
        open_bundle(bundle)


# The directory and its files


def test_no_such_directory(bundle: Path) -> None:
    refused_at_once(bundle / "absent", "expected a bundle directory, found: .*No such file")


def test_a_file_in_the_place_of_the_directory(bundle: Path) -> None:
    refused_at_once(bundle / "manifest.json", "expected a bundle directory, found")


def test_a_loop_of_links_in_the_place_of_the_directory(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused_at_once(tmp_path / "loop", "expected a bundle directory, found")


def test_a_directory_without_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    refused_at_once(bundle, r"expected a bundle with manifest\.json, found none.*edge-export")


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    refused_at_once(bundle, r"expected golden\.npz, found no such file; install the bundle again")


def test_a_file_that_is_not_listed(bundle: Path) -> None:
    (bundle / "extra.bin").write_bytes(b"smuggled")
    refused_at_once(bundle, r"found also extra\.bin; remove")


@pytest.mark.parametrize("name", ["golden.npz", "manifest.json"])
def test_a_symbolic_link(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(tmp_path / "elsewhere")
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    refused_at_once(bundle, f"{name}: expected a plain file, found: a symbolic link")


@pytest.mark.parametrize("name", ["golden.npz", "manifest.json"])
def test_a_hard_link(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").hardlink_to(bundle / name)
    refused_at_once(bundle, f"{name}: expected a plain file, found one with 2 hard links; copy")


def test_a_directory_in_the_place_of_a_file(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    (bundle / "golden.npz").mkdir()
    refused_at_once(bundle, r"golden\.npz: expected a plain file, found a directory")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["golden.npz", "manifest.json"])
def test_a_pipe_in_the_place_of_a_file_does_not_hang(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    refused_at_once(bundle, f"{name}: expected a plain file, found a pipe")


def test_a_socket_in_the_place_of_a_file(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle / "golden.npz").unlink()
    monkeypatch.chdir(bundle)  # a socket's path may have 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("golden.npz")
        refused_at_once(bundle, r"golden\.npz: expected a plain file, found")


def test_one_bit_flipped(bundle: Path) -> None:
    data = bytearray((bundle / "text.fp32.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "text.fp32.onnx").write_bytes(data)
    refused(bundle, r"text\.fp32\.onnx: expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}")


def test_a_file_cut_off(bundle: Path) -> None:
    size = (bundle / "golden.npz").stat().st_size
    os.truncate(bundle / "golden.npz", size - 1)
    refused(bundle, rf"golden\.npz: expected {size} bytes, found {size - 1}")


def test_a_file_that_is_too_long(bundle: Path) -> None:
    with (bundle / "golden.npz").open("ab") as file:
        file.write(b"x")
    refused(bundle, r"golden\.npz: expected \d+ bytes, found more")


def test_a_huge_file_is_not_read_to_its_end(bundle: Path) -> None:
    os.truncate(bundle / "golden.npz", 2**40)
    refused(bundle, r"golden\.npz: expected \d+ bytes, found more")


def test_a_file_that_changes_after_opening(bundle: Path) -> None:
    opened = open_bundle(bundle)
    (bundle / "tokenizer.json").write_bytes((bundle / "tokenizer.json").read_bytes()[::-1])
    with pytest.raises(ModelError, match="expected SHA-256"):
        opened.tokenizer()


def test_a_file_swapped_for_a_link_after_opening(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    (bundle / "tokenizer.json").rename(tmp_path / "elsewhere")
    (bundle / "tokenizer.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="symbolic link"):
        opened.tokenizer()


def test_a_link_to_the_whole_directory_is_fine_and_followed_once(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to(bundle)
    opened = open_bundle(tmp_path / "current")
    (tmp_path / "current").unlink()
    opened.verify()


# The manifest


@pytest.mark.parametrize("schema", ["edge-bundle/9", "", None, 1, ["edge-bundle/2"]])
def test_an_unknown_format_version_names_the_known_one(bundle: Path, schema: object) -> None:
    edit(bundle, lambda manifest: manifest.update(schema=schema))
    refused_at_once(bundle, "expected schema 'edge-bundle/2', found .* use a bundle made for this")


def test_no_format_version(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest.pop("schema"))
    refused_at_once(bundle, "expected schema 'edge-bundle/2', found None")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[]", "expected schema"),
        (b"null", "expected schema"),
        (b'{"schema": "edge-bundle/2", "schema": "edge-bundle/2"}', "a key that occurs twice"),
        (b" " * (1024 * 1024 + 1), "expected at most 1048576 bytes, found more"),
    ],
    ids=["empty", "cut off", "binary", "deep", "list", "null", "key twice", "large"],
)
def test_a_manifest_that_is_none(bundle: Path, content: bytes, message: str) -> None:
    (bundle / "manifest.json").write_bytes(content)
    refused_at_once(bundle, message)


@pytest.mark.parametrize("section", [(), ("model",), ("image",), ("files", 0)])
def test_an_unknown_key_is_named(bundle: Path, section: tuple[str | int, ...]) -> None:
    def change(manifest: Any) -> None:
        for key in section:
            manifest = manifest[key]
        manifest["colour"] = "blue"

    edit(bundle, change)
    refused_at_once(bundle, r"colour: Extra inputs are not permitted")


@pytest.mark.parametrize(
    "name",
    [
        "../golden.npz",
        "..",
        ".",
        "",
        "/etc/passwd",
        "sub/golden.npz",
        "sub\\golden.npz",
        ".hidden",
        "golden.npz\x00",
        "golden.npz\n",
        "x" * 101,
    ],
)
def test_a_name_that_is_no_plain_name(bundle: Path, name: str) -> None:
    edit(bundle, lambda manifest: manifest["files"][0].update(file=name))
    refused_at_once(bundle, r"files\.0\.file: String should match pattern")


def test_the_manifest_cannot_list_itself(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["files"][4].update(file="manifest.json"))
    refused_at_once(bundle, "cannot list itself")


def test_a_name_twice(bundle: Path) -> None:
    edit(
        bundle, lambda manifest: manifest["files"].append({**manifest["files"][4], "role": "card"})
    )
    refused_at_once(bundle, r"expected each once, found twice: axes\.json")


def test_two_graphs_of_one_role_and_precision(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["files"][0].update(precision="int8"))
    refused_at_once(bundle, "found twice: onnx int8 image")


@pytest.mark.parametrize("role", ["image", "text", "tokenizer", "golden"])
def test_a_role_without_file(bundle: Path, role: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"] = [file for file in manifest["files"] if file["role"] != role]

    edit(bundle, change)
    refused_at_once(bundle, f"expected a file for each role, found none for {role}")


def test_two_tokenizers(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["files"][4].update(role="tokenizer"))
    refused_at_once(bundle, "expected one file, found several for tokenizer")


@pytest.mark.parametrize("key", ["format", "precision", "min_cosine"])
def test_a_graph_without_its_gate(bundle: Path, key: str) -> None:
    edit(bundle, lambda manifest: manifest["files"][0].pop(key))
    refused_at_once(
        bundle,
        "expected format, precision and min_cosine for detector, head, image, regions, text, video files",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", "abc"),
        ("sha256", "A" * 64),
        ("size", 0),
        ("size", -1),
        ("size", 2**40),
        ("min_cosine", 0),
        ("min_cosine", 1.5),
        ("min_cosine", float("nan")),
        ("role", "pictures"),
        ("format", "tensorrt"),
        ("precision", "int4"),
    ],
)
def test_a_value_out_of_range_is_named(bundle: Path, key: str, value: object) -> None:
    edit(bundle, lambda manifest: manifest["files"][0].update({key: value}))
    refused_at_once(bundle, rf"files\.0\.{key}: ")


# The contents


def pack(tmp_path: Path, name: str, data: bytes) -> Path:
    """A bundle whose hashes are right, whatever ``data`` is: packing would refuse it."""
    tiny_bundle(tmp_path / "packed")
    (tmp_path / "packed" / name).write_bytes(data)
    entry = next(f for f in open_bundle(tmp_path / "packed").manifest.files if f.file == name)
    fake = write_bundle(
        tmp_path / "fake", tiny_facts(), tiny_files() | {"fake.bin": Artefact("card", data)}
    )
    listed = next(f for f in fake.manifest.files if f.file == "fake.bin")

    def change(manifest: dict[str, Any]) -> None:
        for file in manifest["files"]:
            if file["file"] == entry.file:
                file.update(sha256=listed.sha256, size=listed.size)

    edit(tmp_path / "packed", change)
    return tmp_path / "packed"


def external(location: str, *, where: str = "initializer") -> bytes:
    model = onnx.load_from_string(tiny_image_model())
    [tensor] = [t for t in model.graph.initializer if t.name == "colours"]
    if where == "attribute":
        constant = onnx.helper.make_node("Constant", [], ["colours"], value=tensor)
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, constant)
        tensor = model.graph.node[0].attribute[0].t
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


@pytest.mark.parametrize("where", ["initializer", "attribute"])
@pytest.mark.parametrize("location", ["/etc/hostname", "../secret.bin", "secret.bin"])
def test_weights_in_another_file(tmp_path: Path, location: str, where: str) -> None:
    bundle = pack(tmp_path, "image.int8.onnx", external(location, where=where))
    refused(bundle, r"image\.int8\.onnx: expected all weights inside the model, found a tensor")
    with pytest.raises(ModelError, match="external data; export it as one file"):
        open_bundle(bundle).read("image", "int8")
    assert open_bundle(bundle).read("image", "fp32") == tiny_image_model()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_runtimes_would_follow_a_hard_link(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the reader looks for external data itself: the control of the test above."""
    pytest.importorskip(runtime)
    from edge.model.engines import EngineSettings, open_engine  # noqa: PLC0415

    (tmp_path / "elsewhere").write_bytes(np.full(12, 7, np.float32).tobytes())
    (tmp_path / "secret.bin").hardlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    engine = open_engine(runtime, external("secret.bin"), EngineSettings())
    result = engine.run({"pixels": np.ones((1, 3, 8, 8), np.int8)})["embedding"]
    assert result[0, :3] == pytest.approx(result[0, 0])  # the secret: all weights equal
    engine.close()


def subgraph(tensor: onnx.TensorProto) -> bytes:
    """A tensor two graphs deep, in the branch of an If inside a branch of an If."""
    inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
    node = onnx.helper.make_node("If", ["c"], [], then_branch=inner, else_branch=inner)
    outer = onnx.helper.make_graph([node], "outer", [], [])
    node = onnx.helper.make_node("If", ["c"], [], then_branch=outer, else_branch=outer)
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])).SerializeToString()


def sparse(tensor: onnx.TensorProto) -> bytes:
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    item = onnx.helper.make_sparse_tensor(tensor, indices, [1])
    graph = onnx.helper.make_graph([], "g", [], [], sparse_initializer=[item])
    return onnx.helper.make_model(graph).SerializeToString()


def function(tensor: onnx.TensorProto) -> bytes:
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    body = onnx.helper.make_function(
        "lab", "F", [], ["y"], [node], [onnx.helper.make_opsetid("", 17)]
    )
    graph = onnx.helper.make_graph([], "g", [], [])
    return onnx.helper.make_model(graph, functions=[body]).SerializeToString()


def training(tensor: onnx.TensorProto) -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    model.training_info.add().algorithm.CopyFrom(graph)
    return model.SerializeToString()


def tensors(tensor: onnx.TensorProto) -> bytes:
    node = onnx.helper.make_node("Lab", [], ["y"], domain="lab", values=[tensor])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])).SerializeToString()


def graphs(tensor: onnx.TensorProto) -> bytes:
    inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
    node = onnx.helper.make_node("Lab", [], ["y"], domain="lab", bodies=[inner])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])).SerializeToString()


def sparse_attribute(tensor: onnx.TensorProto) -> bytes:
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    item = onnx.helper.make_sparse_tensor(tensor, indices, [1])
    node = onnx.helper.make_node("Constant", [], ["y"], sparse_value=item)
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])).SerializeToString()


def sparse_attributes(tensor: onnx.TensorProto) -> bytes:
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    item = onnx.helper.make_sparse_tensor(tensor, indices, [1])
    node = onnx.helper.make_node("Lab", [], ["y"], domain="lab", values=[item])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])).SerializeToString()


@pytest.mark.parametrize(
    "build",
    [subgraph, graphs, sparse, sparse_attribute, sparse_attributes, function, training, tensors],
)
@pytest.mark.parametrize("marked_by", ["data_location", "external_data"])
def test_external_data_is_found_wherever_a_tensor_can_be(
    build: Callable[[onnx.TensorProto], bytes], marked_by: str
) -> None:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "secret")
    check_self_contained(build(tensor), "control")
    if marked_by == "data_location":
        tensor.data_location = onnx.TensorProto.EXTERNAL
    else:
        tensor.external_data.add(key="location", value="secret.bin")
    with pytest.raises(ModelError, match="external data"):
        check_self_contained(build(tensor), "model")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"<net/>", b"ORTM" * 10, b"\x3a\xff\xff\xff\xff\x0f", b"\x80" * 20, b"\x0b"],
)
def test_what_is_no_onnx_model(data: bytes) -> None:
    check_self_contained(tiny_image_model(), "control")
    with pytest.raises(ModelError, match="model: expected an ONNX model"):
        check_self_contained(data, "model")


def test_two_graphs_in_one_model() -> None:
    """A protobuf reader merges them; which one runs must not be a matter of taste."""
    with pytest.raises(ModelError, match="one graph, found 2"):
        check_self_contained(tiny_image_model() * 2, "model")


def test_a_model_of_nothing_but_tiny_fields_is_given_up() -> None:
    with pytest.raises(ModelError, match="expected at most 2000000 protobuf fields"):
        check_self_contained(b"\x08\x01" * 2_000_001, "model")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash_the_model_check(data: bytes) -> None:
    with pytest.raises(ModelError):
        check_self_contained(b"\x3a\x7f" + data, "model")


@given(st.data())
def test_a_damaged_model_passes_or_is_refused(data: st.DataObject) -> None:
    model = bytearray(tiny_image_model())
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_self_contained(bytes(model), "model")
    except ModelError as error:
        assert "expected" in str(error)  # noqa: PT017 - both ends are right


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def golden_arrays() -> dict[str, NDArray[Any]]:
    return {
        f"{role}.{name}": array
        for role, graph in tiny_golden().items()
        for name, array in (*graph.inputs.items(), *graph.answers.items())
    }


def test_a_pickle_in_the_golden_set(tmp_path: Path) -> None:
    poison = np.array([{"a": 1}], dtype=object)
    bundle = pack(tmp_path, "golden.npz", npz(**golden_arrays() | {"image.pixels": poison}))
    refused(bundle, r"golden\.npz: .*pixels is object")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("image.pixels", np.zeros((3, 3, 8, 8), np.float32), "pixels is float32"),
        ("image.pixels", np.zeros((3, 3, 8, 9), np.int8), r"\[3, 3, 8, 9\], expected int8"),
        ("image.pixels", np.zeros((1, 3, 8, 8), np.int8), "at least 2"),
        ("image.pixels", np.int8(1), r"pixels is int8 \[\]"),
        ("image.embedding", np.zeros((2, 4), np.float32), "has 2 rows, expected 3"),
        ("text.embedding", np.full((3, 4), np.nan, np.float32), "not finite"),
        ("image.embedding", np.asfortranarray(np.eye(3, 4, dtype=np.float32)), "C order"),
        ("text.input_ids", np.zeros((3, 7), np.int64), r"\[3, 7\], expected int64"),
        ("text.input_ids", np.zeros((3, 6), ">i8"), "input_ids is >i8"),
    ],
)
def test_golden_arrays_of_another_kind(
    tmp_path: Path, name: str, array: NDArray[Any] | np.int8, message: str
) -> None:
    bundle = pack(tmp_path, "golden.npz", npz(**golden_arrays() | {name: array}))
    refused(bundle, message)


def test_a_golden_array_that_is_missing(tmp_path: Path) -> None:
    arrays = golden_arrays()
    del arrays["text.input_ids"]
    refused(pack(tmp_path, "golden.npz", npz(**arrays)), "no item named 'text.input_ids")


def test_a_golden_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    member = io.BytesIO()
    shape = (4096, 3, 8, 8)
    header = {"descr": "|i1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("image.pixels.npy", member.getvalue())
    refused(pack(tmp_path, "golden.npz", buffer.getvalue()), "expected a .npz file of golden")


@given(st.data())
def test_a_damaged_golden_file_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(golden_npz(tiny_golden()))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        golden = read_golden(bytes(content), "golden.npz", tiny_facts())
    except ModelError as error:
        assert "golden.npz: expected" in str(error)  # noqa: PT017 - both ends are right
    else:
        assert golden["image"].inputs["pixels"].shape[1:] == (3, 8, 8)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (b"{}", "expected a list of strings"),
        (b'["red", "green", "blue", 4]', "expected a list of strings"),
        (b'["red"]', "expected 4 names, found 1"),
        (b"red", "expected JSON"),
    ],
)
def test_axes_that_are_none(tmp_path: Path, axes: bytes, message: str) -> None:
    refused(pack(tmp_path, "axes.json", axes), rf"axes\.json: {message}")


@pytest.mark.parametrize("header", [b"\0", b"{'descr': (", b"{'shape': \x00}", b"[", b"'" * 9])
def test_a_golden_header_that_is_no_python_is_refused_in_words(header: bytes) -> None:
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(golden_npz(tiny_golden()))) as old,
        zipfile.ZipFile(made, "w") as new,
    ):
        for name in old.namelist():
            data = bytearray(old.read(name))
            data[10 : 10 + len(header)] = header
            new.writestr(name, bytes(data))
    with pytest.raises(ModelError, match=r"golden\.npz: expected"):
        read_golden(made.getvalue(), "golden.npz", tiny_facts())
