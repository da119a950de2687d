"""What is taught in which order, and on which side of the line a picture is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.progress import Progress

from edge.errors import ConfigError
from export.distill.data import divide, gather_lessons, order
from export.distill.pictures import prepare
from export.distill.recipe import Recipe, Weights, fingerprint
from export.distill.teacher import Teacher

RECIPE = Recipe(held_out=0.25, variations=2)


@given(st.lists(st.text(max_size=8), unique=True, max_size=60), st.floats(0.05, 0.9))
def test_all_frames_of_a_video_are_on_one_side_and_more_pictures_move_none(names, share):
    keys = [f"{name}@{second}" for name in names for second in range(3)]
    inside, outside = divide(keys, share)
    assert sorted(inside + outside) == list(range(len(keys)))
    sides = [{keys[index].partition("@")[0] for index in side} for side in (inside, outside)]
    assert not sides[0] & sides[1]
    fewer = divide(keys[: len(keys) // 2], share)[1]
    assert fewer == [index for index in outside if index < len(keys) // 2]


def test_about_the_share_that_was_asked_for_is_held_out():
    _, outside = divide([f"{index}.png" for index in range(2000)], 0.1)
    assert 150 < len(outside) < 250


@pytest.fixture
def lessons_of(teacher, tmp_path):
    def make(folder, recipe=RECIPE):
        opened = Teacher(teacher)
        pictures = prepare([folder], tmp_path / "set")
        return gather_lessons(
            opened, pictures, recipe, tmp_path / "answers", Progress(disable=True)
        )

    return make


def test_an_epoch_shows_each_picture_once_and_the_next_one_otherwise(lessons_of, pictures):
    lessons = lessons_of(pictures)
    first = order(lessons, 0, 4)
    shown = [picture for step in first for picture, _ in step]
    assert len(set(shown)) == len(shown) == len(lessons.train) // 4 * 4
    assert {number for step in first for _, number in step} == {0, 1, 2}
    assert order(lessons, 0, 4) == first
    assert order(lessons, 1, 4) != first
    assert order(replace(lessons, seed=1), 0, 4) != first
    assert not set(shown) & set(lessons.held_out)


def test_what_the_teacher_takes_for_one_picture_is_taught_once(lessons_of, pictures, tmp_path):
    folder = tmp_path / "twice"
    folder.mkdir()
    for path in sorted(pictures.iterdir()):
        picture = np.asarray(Image.open(path))
        for name in ("a", "b"):
            Image.fromarray(picture).save(folder / f"{path.stem}{name}.png")
    lessons = lessons_of(folder)
    inside, _ = divide(lessons.pictures.keys, RECIPE.held_out)
    distinct = {lessons.pictures.keys[index][:3] for index in inside}
    assert len(lessons.train) == len(distinct) < len(inside)


def test_captions_are_taught_where_every_picture_has_one(lessons_of, pictures, tmp_path):
    assert lessons_of(pictures).captions is None
    folder = tmp_path / "told"
    folder.mkdir()
    for path in sorted(pictures.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / f"{path.stem}.txt").write_text(f"picture {path.stem}\n")
    captions = lessons_of(folder).captions
    assert captions.shape == (64, 24)
    assert np.allclose(np.linalg.norm(captions, axis=1), 1, atol=1e-5)


def test_too_few_pictures_are_refused(lessons_of, pictures, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(pictures.iterdir())[:10]:
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match="expected at least 8 pictures to train on and 8 held"):
        lessons_of(folder)


def test_whatever_decides_a_training_is_in_its_fingerprint():
    plain = fingerprint(Recipe(), {"teacher": "a"})
    assert fingerprint(Recipe(), {"teacher": "a"}) == plain
    others = [
        fingerprint(Recipe(lr=1e-4), {"teacher": "a"}),
        fingerprint(Recipe(weights=Weights(alignment=0)), {"teacher": "a"}),
        fingerprint(Recipe(), {"teacher": "b"}),
    ]
    assert plain not in others
    assert len(set(others)) == 3


@pytest.mark.parametrize("option", [{"epochs": 0}, {"lr": float("nan")}, {"held_out": 1.0}])
def test_a_recipe_that_makes_no_sense_is_refused(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))}: expected a number from"):
        Recipe(**option)
