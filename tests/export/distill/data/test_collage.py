"""Collages: what is on them, and on which side of the line between training and held-out they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.distill.data.collage import collage, make_collages
from export.distill.data.training_set import divide

GREY, RED = (90, 90, 90), (250, 0, 0)


def square(colour: tuple[int, int, int], side: int = 20) -> Image.Image:
    """In the middle of nothing."""
    picture = Image.new("RGBA", (2 * side, 2 * side))
    picture.paste((*colour, 255), (side // 2, side // 2, side // 2 + side, side // 2 + side))
    return picture


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("cut-outs", "photographs"):
        (tmp_path / name / "of").mkdir(parents=True)
    for number in range(30):
        square(RED).save(tmp_path / "cut-outs" / "of" / f"{number}.png")
        Image.new("RGB", (64, 36), GREY).save(tmp_path / "photographs" / f"{number}.png")
    return tmp_path / "cut-outs", tmp_path / "photographs"


def test_an_object_is_seen_and_what_is_around_it_is_not() -> None:
    for seed in range(20):
        background = Image.new("RGB", (160, 90), GREY)
        found = np.asarray(collage(background, [square(RED)], np.random.default_rng(seed)))
        assert found.shape == (90, 160, 3)
        red = np.all(np.abs(found.astype(int) - RED) < 3, axis=2).mean()
        grey = np.all(found == GREY, axis=2).mean()
        # A quarter of a square of 0.3 to 1 times the height, at least a quarter of it inside.
        assert 0.002 < red < 0.16
        assert red + grey > 0.9, "but for the edges"


def test_the_first_is_on_top() -> None:
    random = np.random.default_rng(1)
    layers = [Image.new("RGBA", (9, 9), (*RED, 255)), Image.new("RGBA", (900, 9), (0, 0, 250, 255))]
    for _ in range(20):
        found = np.asarray(collage(Image.new("RGB", (160, 90), GREY), layers, random))
        assert np.all(found == RED, axis=2).sum() > 100


def test_nothing_held_out_is_on_a_collage_and_all_are_trained_on(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stamps = [f"of/{number}.png" for number in range(30)]
    inside = {stamps[index] for index in divide(stamps, 0.3)[0]}
    assert make_collages(*folders, out, each=2, held_out=0.3) == 2 * len(inside)
    names = [path.relative_to(out).as_posix() for path in out.rglob("*.jpg")]
    assert {name.partition("@")[0] for name in names} == inside
    assert len(names) == len(divide(names, 0.3)[0]) == 2 * len(inside) < 60


def test_the_same_seed_makes_the_same_collages(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        make_collages(*folders, tmp_path / name, each=1, held_out=0.3, seed=seed)
    (first, again, other) = (
        [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.jpg"))]
        for name in ("one", "again", "other")
    )
    assert first == again
    assert first != other


def test_pictures_without_opacity_and_broken_ones_are_no_objects(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    cut_outs, photographs = folders
    for path in (cut_outs / "of").iterdir():
        Image.new("RGB", (8, 8), RED).save(path)
    (cut_outs / "of" / "0.png").write_bytes(b"no picture")
    assert make_collages(cut_outs, photographs, tmp_path / "out", each=2, held_out=0.3) == 0
    assert not (tmp_path / "out").exists()
