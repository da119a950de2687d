"""The bundle's pictures are those of the checkpoint's own processor, or the build says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from export.checkpoints.checkpoint import open_checkpoint
from export.checkpoints.own_processor import OwnProcessor, hf_processor
from export.families.facts import hf_image_spec, open_clip_image_spec
from export.proof.own_pixels import check_pictures

SIDE = 32
PLAIN: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.4],
}


def processor_of(directory: Path, preprocessor: dict[str, Any]) -> OwnProcessor:
    """The real processor of ``transformers`` for a preprocessor file."""
    import transformers  # noqa: PLC0415  takes seconds

    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    processor = hf_processor(transformers, directory)
    assert processor is not None
    return processor


def spec_of(preprocessor: dict[str, Any]) -> ImageSpec:
    return hf_image_spec(preprocessor, SIDE)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False, "image_mean": [100, 110, 120], "image_std": [50, 60, 70]},
        {"do_normalize": False},
        {"do_normalize": False, "do_rescale": False},
        {"image_mean": None, "image_std": None},
        {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False, "resample": 2},
        {"image_processor_type": "SiglipImageProcessor", "size": {"height": SIDE, "width": SIDE}},
        {"image_processor_type": "VideoMAEImageProcessor", "image_mean": None, "image_std": None},
    ],
    ids=str,
)
def test_a_file_means_the_same_to_the_bundle_and_to_its_own_processor(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    file = {key: value for key, value in (PLAIN | change).items() if value is not None}
    own = processor_of(tmp_path, file)
    spec = spec_of({**file, **own.settings})
    found = check_pictures(spec, own.name, own)
    assert found.as_it_is < 0.01
    assert found.resized < 1
    assert "transformers" in found.processor


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rescale_factor": 1 / 127.5}, "largest difference of a picture of the model's size"),
        ({"do_rescale": False}, "largest difference"),
        ({"image_mean": [0.6, 0.5, 0.4]}, "largest difference"),
        ({"image_std": [0.4, 0.3, 0.2]}, "largest difference"),
        (
            {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False},
            "mean difference of wide and tall pictures",
        ),
        ({"size": {"shortest_edge": 40}}, "levels of 255"),
        ({"crop_size": {"height": 28, "width": 28}}, "3x32x32.* found 3x28x28"),
        (
            {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True},
            "largest difference",
        ),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "include_top": True},
            "largest difference",
        ),
    ],
    ids=str,
)
def test_a_wrong_reading_of_a_file_is_found(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """The processor follows the changed file, the bundle the plain one."""
    own = processor_of(tmp_path, PLAIN | change)
    with pytest.raises(ModelError, match=message):
        check_pictures(spec_of(PLAIN), own.name, own)


@pytest.mark.parametrize(
    "change",
    [
        {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True},
        {"image_processor_type": "EfficientNetImageProcessor", "include_top": True},
    ],
    ids=str,
)
def test_what_only_the_processors_defaults_ask_for_is_refused_too(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    """The file does not name the step, its processor takes it all the same."""
    *_, (step, _value) = change.items()
    file = PLAIN | {"image_processor_type": change["image_processor_type"]}
    own = processor_of(tmp_path, file)
    spec_of(file)  # which looks harmless
    with pytest.raises(ModelError, match=f"found {step}: true"):
        spec_of({**file, **own.settings})


def test_a_processor_that_the_file_names_and_nobody_has_is_refused_by_name(tmp_path: Path) -> None:
    path = tiny_checkpoints.tiny_clip(tmp_path / "clip")
    file = path / "preprocessor_config.json"
    given = json.loads(file.read_text())
    file.write_text(json.dumps(given | {"image_processor_type": "NobodysImageProcessor"}))
    with pytest.raises(ModelError, match="found NobodysImageProcessor: "):
        open_checkpoint(str(path))


def test_code_of_a_checkpoint_is_never_run_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers  # noqa: PLC0415  takes seconds

    asked: list[str] = []

    def ask(question: str = "") -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", ask)
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    file = {key: value for key, value in PLAIN.items() if key != "image_processor_type"}
    file["auto_map"] = {"AutoImageProcessor": "own.Own"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(file))
    assert hf_processor(transformers, tmp_path) is None
    assert not asked
    assert not ran.exists()
    with pytest.raises(ModelError, match="found auto_map"):  # so a build refuses it
        spec_of(file)


def test_a_processor_that_gives_no_numbers_is_refused() -> None:
    def broken(_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((3, SIDE, SIDE), np.nan, np.float32)

    with pytest.raises(ModelError, match="nan levels"):
        check_pictures(spec_of(PLAIN), "processor", broken)


def test_a_checkpoint_brings_its_own_processor_with_its_defaults(tmp_path: Path) -> None:
    clip = open_checkpoint(str(tiny_checkpoints.tiny_clip(tmp_path / "clip")))
    assert clip.processor is not None
    assert clip.processor.name.startswith("CLIPImageProcessor (transformers ")
    assert clip.preprocessing["do_convert_rgb"] is True
    assert "do_convert_rgb" not in clip.preprocessor


def test_open_clips_transform_is_compared_too(tmp_path: Path) -> None:
    path = tiny_checkpoints.tiny_open_clip(tmp_path / "open")
    own = open_checkpoint(str(path)).processor
    assert own is not None
    assert own.name.startswith("image_transform (open_clip ")
    plain = {"size": SIDE, "resize_mode": "shortest"}
    assert check_pictures(open_clip_image_spec(plain, SIDE, SIDE), own.name, own).as_it_is < 0.01
    squashed = open_clip_image_spec(plain | {"resize_mode": "squash"}, SIDE, SIDE)
    with pytest.raises(ModelError, match="wide and tall"):
        check_pictures(squashed, own.name, own)
