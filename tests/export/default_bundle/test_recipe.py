"""The recipe of the default bundle: origins in the manifest, and which bundle is current."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge.model.bundle.read import Bundle, open_bundle
from export.default_bundle import packages, recipe

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def bundle(concepts_bundle: Path) -> Bundle:
    return open_bundle(concepts_bundle)


@pytest.fixture
def copy(concepts_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(concepts_bundle, tmp_path / "concepts"))


def test_every_origin_is_named_with_its_hash_and_licence(bundle: Bundle) -> None:
    origins = {origin.package: origin for origin in bundle.manifest.model.origins}
    pinned = [
        packages.EFFICIENTNET_LITE0,
        packages.MINILM,
        packages.HUMAN,
        packages.TIMM,
        packages.SCIKIT_VIDEO,
        packages.SCIKIT_IMAGE,
    ]
    assert origins.keys() == {package.name for package in pinned}
    for package in pinned:
        origin = origins[package.name]
        assert (origin.version, origin.sha256) == (package.version, package.sha256)
        assert origin.licence == package.licence


def test_an_undamaged_bundle_of_this_recipe_is_current(copy: Path) -> None:
    assert recipe.is_current(copy)


@pytest.mark.parametrize("name", ["image.int8.onnx", "tokenizer.json", "manifest.json"])
def test_one_flipped_bit_is_not_current(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert not recipe.is_current(copy)


def test_a_missing_file_or_no_bundle_is_not_current(copy: Path, tmp_path: Path) -> None:
    (copy / "axes.json").unlink()
    assert not recipe.is_current(copy)
    assert not recipe.is_current(tmp_path / "nowhere")


def test_another_pin_makes_another_recipe(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.revision()
    assert before == recipe.revision()
    newer = replace(packages.MINILM, version="0.1.1")
    changed = tuple(newer if p == packages.MINILM else p for p in recipe.PACKAGES)
    monkeypatch.setattr(recipe, "PACKAGES", changed)
    assert recipe.revision() != before
    assert not recipe.is_current(copy)
