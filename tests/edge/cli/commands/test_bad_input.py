"""What users get wrong: each is a message that helps and an exit code, on the real command line.

No case may show a stack trace, or the password that stands in every configuration here.
"""

import json
import os
import shutil
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
from command import Outcome, Run
from live_broker import MakeBroker
from onnx import numpy_helper
from tiny_bundle import tiny_facts, tiny_files

from benchmarks.measuring.broker import free_port
from edge.testing import TestCamera
from export.bundle.pack import write_bundle

CANARY = "canary-5f1d"
CAMERA = f"rtsp://viewer:{CANARY}@127.0.0.1:1/yard"
SOUND = f"""\
device: {{id: box}}
bundle: bundle
state_dir: state
mqtt: {{host: 127.0.0.1, port: 1, username: box, password: {CANARY}}}
prompts:
  red: {{text: red}}
cameras:
  yard:
    url: {CAMERA}
"""


@dataclass(frozen=True)
class Workplace:
    """A folder with a sound bundle and a sound configuration, to be spoilt."""

    folder: Path
    camera: TestCamera
    make_broker: MakeBroker
    monkeypatch: pytest.MonkeyPatch

    @property
    def config(self) -> Path:
        return self.folder / "edge.yaml"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def change_manifest(self, **facts: object) -> None:
        manifest = json.loads((self.bundle / "manifest.json").read_bytes())
        (self.bundle / "manifest.json").write_text(json.dumps(manifest | facts))


@pytest.fixture
def workplace(
    tmp_path: Path,
    bundle: Path,
    camera: TestCamera,
    make_broker: MakeBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "edge.yaml").write_text(SOUND)
    return Workplace(tmp_path, camera, make_broker, monkeypatch)


# The configuration


def unknown_key(work: Workplace) -> None:
    work.change("    url:", "    ulr:")


def bad_yaml(work: Workplace) -> None:
    work.change("  red: {text: red}", "  red: {text: red")


def missing_secret(work: Workplace) -> None:
    work.monkeypatch.delenv("YARD_PASSWORD", raising=False)
    work.change(f"viewer:{CANARY}", "viewer:${YARD_PASSWORD}")


def empty_prompt(work: Workplace) -> None:
    work.change("text: red", 'text: " "')


def unknown_scheme(work: Workplace) -> None:
    work.change("rtsp://", "rstp://")


def password_breaks_url(work: Workplace) -> None:
    work.change(f":{CANARY}@127.0.0.1:1", f":{CANARY}/#@127.0.0.1:x")


def no_file(work: Workplace) -> None:
    work.config.unlink()


CONFIGURATION = [
    (unknown_key, ["edge.yaml:9: cameras.yard: unknown key 'ulr'; did you mean 'url'?"]),
    (bad_yaml, ["edge.yaml:7:", "not valid YAML"]),
    (missing_secret, ["edge.yaml:9", "YARD_PASSWORD"]),
    (empty_prompt, ["edge.yaml:6: prompts.red.text", "expected some text"]),
    (unknown_scheme, ["edge.yaml:9: cameras.yard.url", "'rstp'; did you mean 'rtsp'?"]),
    (password_breaks_url, ["edge.yaml:9: cameras.yard.url", "in a password write / as %2F"]),
    (no_file, ["cannot read", "edge.yaml", "No such file"]),
]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("spoil", "words"), CONFIGURATION)
def test_a_wrong_configuration_is_refused_with_its_line(
    edge: Run,
    workplace: Workplace,
    command: str,
    spoil: Callable[[Workplace], None],
    words: list[str],
) -> None:
    spoil(workplace)
    outcome = edge(command, workplace.config)
    assert_told(outcome, 2, words)


# Bundle and engine


def wrong_hash(work: Workplace) -> None:
    path = work.bundle / "axes.json"
    path.write_bytes(path.read_bytes().replace(b"red", b"rad"))


def wrong_image(work: Workplace) -> None:
    path = work.bundle / "image.int8.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def missing_file(work: Workplace) -> None:
    (work.bundle / "golden.npz").unlink()


def hard_link(work: Workplace) -> None:
    os.link(work.bundle / "golden.npz", work.folder / "second-name")


def symbolic_link(work: Workplace) -> None:
    (work.bundle / "golden.npz").rename(work.folder / "elsewhere")
    (work.bundle / "golden.npz").symlink_to(work.folder / "elsewhere")


def unknown_version(work: Workplace) -> None:
    work.change_manifest(schema="edge-bundle/99")


def constant_outputs(work: Workplace) -> None:
    """Hashes right, and a gate on the cosine so low that only the spread can tell."""
    graph = onnx.load_from_string(tiny_files()["image.int8.onnx"].data)
    [weights] = [tensor for tensor in graph.graph.initializer if tensor.name == "colours"]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 0, "colours"))
    constant = graph.SerializeToString()
    files = {
        name: replace(artefact, data=constant, min_cosine=0.01)
        if artefact.role == "image"
        else artefact
        for name, artefact in tiny_files().items()
    }
    write_bundle(work.bundle, tiny_facts(), files)


def no_bundle(work: Workplace) -> None:
    shutil.rmtree(work.bundle)


def no_such_device(work: Workplace) -> None:
    work.change("device: {id: box}", "device: {id: box}\nengine: {device: NPU}")


MODEL = [
    (wrong_hash, ["axes.json", "expected SHA-256", "install the bundle again"]),
    (wrong_image, ["image.int8.onnx", "expected SHA-256"]),
    (missing_file, ["expected golden.npz, found no such file"]),
    (hard_link, ["golden.npz", "one with 2 hard links; copy the bundle"]),
    (symbolic_link, ["golden.npz", "expected a plain file, found: a symbolic link"]),
    (unknown_version, ["expected schema 'edge-bundle/2', found 'edge-bundle/99'"]),
    (constant_outputs, ["golden self-test", "the graph hardly looks at its input"]),
    (no_bundle, ["expected a bundle directory"]),
    (no_such_device, ["expected device 'NPU', found CPU"]),
]


@pytest.mark.parametrize(("spoil", "words"), MODEL)
def test_a_model_that_cannot_be_trusted_is_refused(
    edge: Run, workplace: Workplace, spoil: Callable[[Workplace], None], words: list[str]
) -> None:
    spoil(workplace)
    outcome = edge("check", workplace.config, "--no-cameras", "--no-broker")
    assert_told(outcome, 3, words)


def test_the_control_a_sound_workplace_passes(edge: Run, workplace: Workplace) -> None:
    assert edge("check", workplace.config, "--no-cameras", "--no-broker").code == 0


def test_a_prompt_over_the_token_limit_is_refused_not_cut(edge: Run, workplace: Workplace) -> None:
    workplace.change("text: red", "text: red red red red red red red")
    words = ["expected at most 6 tokens, found 7", "shorten the text"]
    assert_told(edge("check", workplace.config, "--no-cameras", "--no-broker"), 2, words)
    assert_told(edge("run", workplace.config), 2, words)


@pytest.mark.parametrize("prompt", ["", "  "])
def test_score_wants_a_sentence(edge: Run, bundle: Path, red_picture: Path, prompt: str) -> None:
    outcome = edge("score", red_picture, prompt, "--bundle", bundle)
    assert_told(outcome, 2, ["expected a sentence"])


# Cameras and files


def test_a_wrong_camera_password_is_told_and_not_shown(
    edge: Run, workplace: Workplace, camera: TestCamera
) -> None:
    url = camera.url("yard", password="wrong-" + CANARY)
    workplace.change(CAMERA, url)
    words = ["viewer:***@127.0.0.1", "refused the user name or password (401)"]
    assert_told(edge("check", workplace.config, "--no-broker"), 4, words)
    assert_told(edge("--verbose", "check", workplace.config, "--no-broker", "--json"), 4, words)
    assert_told(edge("score", url, "red", "--bundle", workplace.bundle), 4, words)


def test_a_wrong_camera_path_is_told(edge: Run, workplace: Workplace, camera: TestCamera) -> None:
    url = camera.url("yard").replace("/yard", "/garden")
    outcome = edge("score", url, "red", "--bundle", workplace.bundle)
    assert_told(outcome, 4, ["has no such stream (404)"])


def test_score_of_an_unknown_scheme_is_told(edge: Run) -> None:
    outcome = edge("score", f"http://viewer:{CANARY}@192.0.2.1/", "red")
    assert_told(outcome, 2, ["http://viewer:***@", "expected one of rtsp, rtsps, file"])


@pytest.mark.parametrize("content", [b"", b"a shopping list\n" * 100, bytes(range(256)) * 16])
def test_a_file_that_is_no_video_is_told(edge: Run, workplace: Workplace, content: bytes) -> None:
    path = workplace.folder / "holiday.mp4"
    path.write_bytes(content)
    words = ["holiday.mp4 is not a video or picture"]
    assert_told(edge("score", path, "red", "--bundle", workplace.bundle), 4, words)
    workplace.change(CAMERA, str(path))
    assert_told(edge("check", workplace.config, "--no-broker"), 4, words)


# The broker


def test_a_broker_that_is_down_is_told(edge: Run, workplace: Workplace) -> None:
    port = free_port()
    workplace.change("port: 1,", f"port: {port},")
    outcome = edge("check", workplace.config, "--no-cameras")
    assert_told(outcome, 5, [f"broker 127.0.0.1:{port} is unreachable"])


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_refuses_the_credentials_is_told(
    edge: Run, workplace: Workplace, protocol: str
) -> None:
    broker = workplace.make_broker("allow_anonymous false").start()
    workplace.change("port: 1,", f"port: {broker.port}, protocol: {protocol},")
    outcome = edge("check", workplace.config, "--no-cameras")
    assert_told(outcome, 5, ["refuses the connection: Not authorized; check mqtt.username"])


# As processes: nothing of pytest or of this process can hide a stack trace or a password


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "words"),
    [
        (unknown_key, ["run", "edge.yaml"], 2, "did you mean 'url'?"),
        (wrong_image, ["run", "edge.yaml"], 3, "image.int8.onnx: expected SHA-256"),
        (None, ["--verbose", "check", "edge.yaml"], 4, "viewer:***@127.0.0.1:1/yard failed"),
        (None, ["score", CAMERA, "red"], 4, "viewer:***@127.0.0.1:1/yard failed"),
    ],
)
def test_a_process_ends_with_a_message(
    edge_process: Run,
    workplace: Workplace,
    spoil: Callable[[Workplace], None] | None,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    if spoil is not None:
        spoil(workplace)
    workplace.monkeypatch.chdir(workplace.folder)
    workplace.monkeypatch.setenv("EDGE_BUNDLE", str(workplace.bundle))
    assert_told(edge_process(*arguments), code, [words])


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment with all that is installed here, but no engine and no matplotlib."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    [site] = folder.glob("lib/python*/site-packages")
    left_out = ("openvino", "onnxruntime", "matplotlib")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(left_out) and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / Path(sys.executable).name


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("auto", ["expected one of openvino, onnxruntime, found none installed"]),
        ("openvino", ["expected the package openvino", "'camera-edge-runtime[openvino]'"]),
        ("onnxruntime", ["expected the package onnxruntime"]),
    ],
)
def test_an_engine_that_is_not_installed_is_told(
    edge_process: Run,
    workplace: Workplace,
    bare_python: Path,
    kind: str,
    words: list[str],
) -> None:
    workplace.change("device: {id: box}", f"device: {{id: box}}\nengine: {{kind: {kind}}}")
    arguments = ("check", workplace.config, "--no-cameras", "--no-broker")
    assert_told(edge_process(*arguments, python=bare_python), 3, [*words, "pip install"])


def test_a_plot_without_matplotlib_is_told(
    edge_process: Run, bare_python: Path, tmp_path: Path
) -> None:
    arguments = ("score", "clip.mp4", "red", "--plot", tmp_path / "scores.png")
    outcome = edge_process(*arguments, python=bare_python)
    assert_told(outcome, 2, ["pip install 'camera-edge-runtime[demo]'"])


def assert_told(outcome: Outcome, code: int, words: list[str]) -> None:
    told = outcome.out + outcome.err
    assert outcome.code == code, told
    assert [word for word in words if word not in told] == [], told
    assert "Traceback" not in told
    assert CANARY not in told
