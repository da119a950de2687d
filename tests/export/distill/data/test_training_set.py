"""What a step takes: pictures divided, ordered, and put beside what the teacher said."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from classroom import RECIPE, prepare_room
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from export.distill.data.pictures import prepare
from export.distill.data.training_set import batches, divide, order
from export.distill.recipe import LossWeights, Recipe, fingerprint

NAMES = st.text(st.characters(exclude_characters="@"), max_size=12)
KEYS = st.lists(
    st.one_of(NAMES, st.builds("{}.mp4@{:.3f}".format, NAMES, st.floats(0, 99))), max_size=40
)
SHARES = st.floats(0.01, 0.9)


def sides(keys: Any, share: Any) -> dict[str, bool]:
    """Whether each picture is held out."""
    inside, outside = divide(keys, share)
    assert sorted(inside + outside) == list(range(len(keys)))
    return {keys[i]: i in set(outside) for i in range(len(keys))}


@given(KEYS, SHARES)
def test_all_frames_of_a_clip_are_on_one_side(keys: Any, share: Any) -> None:
    found: dict[str, set[bool]] = {}
    for key, held_out in sides(keys, share).items():
        found.setdefault(key.partition("@")[0], set()).add(held_out)
    assert all(len(side) == 1 for side in found.values())


@given(KEYS, KEYS, SHARES)
def test_added_pictures_move_no_others(keys: Any, added: Any, share: Any) -> None:
    before, after = sides(keys, share), sides(added + keys, share)
    assert before.items() <= after.items()


@given(st.integers(0, 10**9), SHARES)
def test_about_the_wanted_share_of_the_sources_is_held_out(start: Any, share: Any) -> None:
    count = 2000
    _, outside = divide([f"cam/{start + i}.jpg" for i in range(count)], share)
    spread = (share * (1 - share) / count) ** 0.5
    assert abs(len(outside) / count - share) < 6 * spread


def test_a_name_that_is_no_text_is_divided_as_any_other() -> None:
    assert len(divide(["\udcff.png"], 0.5)[0]) + len(divide(["\udcff.png"], 0.5)[1]) == 1


TRAINING_SETS = st.builds(
    SimpleNamespace,
    train=st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=60).map(tuple),
    seed=st.integers(0, 2**63),
    variations=st.integers(0, 5),
)


@given(TRAINING_SETS, st.integers(0, 100), st.integers(1, 60))
def test_an_epoch_takes_each_picture_once_in_whole_batches(
    training_set: Any, epoch: Any, batch: Any
) -> None:
    steps = order(training_set, epoch, batch)
    assert all(len(step) == batch for step in steps)
    taken = [picture for step in steps for picture, _ in step]
    assert len(taken) == len(training_set.train) // batch * batch
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(training_set.train)
    assert all(0 <= number <= training_set.variations for step in steps for _, number in step)
    assert order(training_set, epoch, batch) == steps


@given(st.integers(0, 2**63), st.integers(0, 50))
def test_epochs_and_seeds_have_an_order_of_their_own(seed: Any, epoch: Any) -> None:
    training_set: Any = SimpleNamespace(train=tuple(range(100)), seed=seed, variations=3)
    other: Any = SimpleNamespace(train=training_set.train, seed=seed + 1, variations=3)
    (step,) = order(training_set, epoch, 100)
    (next_epoch,) = order(training_set, epoch + 1, 100)
    (next_seed,) = order(other, epoch, 100)
    for changed in (next_epoch, next_seed):
        assert [picture for picture, _ in changed] != [picture for picture, _ in step]
        assert dict(changed) != dict(step)
    counts = np.bincount([number for _, number in step], minlength=4)
    assert counts.tolist() == [25] * 4  # all variations alike


def test_a_batch_has_what_the_teacher_said_of_just_these_variations(room: Any) -> None:
    training_set, spec = room.training_set, room.spec(room.student())
    asked = [(training_set.train[5], 0), (training_set.train[2], 1), (training_set.train[2], 2)]
    (batch,) = batches(training_set, spec, [asked])
    assert batch.pixels.shape == (3, 3, 32, 32)
    assert batch.pixels.dtype == torch.int8
    assert batch.captions.shape == (3, 0)
    for place, (picture, number) in enumerate(asked):
        said = (training_set.varied if number else training_set.plain)[picture, number]
        assert np.array_equal(batch.embedding[place], said.embedding[0])
        for ours, theirs in zip(batch.maps, said.maps, strict=True):
            assert np.array_equal(ours[place], theirs[0])
    assert not torch.equal(batch.embedding[1], batch.embedding[2])


def test_processes_beside_this_one_prepare_the_same_batches(room: Any) -> None:
    training_set, spec = room.training_set, room.spec(room.student())
    steps = order(training_set, 0, 8)[:3]
    alone, helped = (list(batches(training_set, spec, steps, workers)) for workers in (0, 2))
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.embedding, other.embedding)
        assert all(map(torch.equal, one.maps, other.maps))


def test_preparing_batches_draws_no_random_numbers_of_the_training(room: Any) -> None:
    """Else a training that goes on within an epoch, and prepares anew, would draw others."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(batches(room.training_set, room.spec(room.student()), order(room.training_set, 0, 8)[:1]))
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_of_a_batch_are_the_batch(room: Any) -> None:
    (batch,) = batches(
        room.training_set, room.spec(room.student()), order(room.training_set, 0, 10)[:1]
    )
    parts = batch.split(4)
    assert [len(part.pixels) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
    assert torch.equal(torch.cat([part.embedding for part in parts]), batch.embedding)
    assert torch.equal(torch.cat([part.captions for part in parts]), batch.captions)
    for index, whole in enumerate(batch.maps):
        assert torch.equal(torch.cat([part.maps[index] for part in parts]), whole)
    moved = batch.to(torch.device("meta"))
    assert {
        t.device.type for t in (moved.pixels, moved.embedding, *moved.maps, moved.captions)
    } == {"meta"}


@pytest.fixture
def gather(bundle: Any, tmp_path: Path) -> Any:
    def training_set(folder: Any, recipe: Any = RECIPE) -> Any:
        prepared = prepare([folder], tmp_path / "prepared")
        return prepare_room(bundle, prepared, tmp_path / "answers", recipe).training_set

    return training_set


def test_what_looks_alike_to_the_teacher_is_trained_on_once(
    exports: Any, gather: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "doubled"
    folder.mkdir()
    for path in sorted(exports.pictures().iterdir())[:60]:
        for copy in "abc":
            shutil.copy(path, folder / f"{path.stem}-{copy}.png")
    found = gather(folder)
    names = [found.pictures.keys[index].rpartition("/")[2].split("-")[0] for index in found.train]
    assert len(names) == len(set(names)) > 40
    inside, outside = divide(found.pictures.keys, RECIPE.held_out)
    assert {found.pictures.keys[i].rpartition("/")[2].split("-")[0] for i in inside} == set(names)
    assert list(found.held_out) == outside


def test_too_few_pictures_are_an_error_that_counts_them(
    exports: Any, gather: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(exports.pictures().iterdir())[:20]:
        shutil.copy(path, folder)
    with pytest.raises(ConfigError, match=r"expected at least 8 pictures .* found \d+ and \d+ in"):
        gather(folder)


@pytest.mark.parametrize("held_out", [True, False])
def test_one_picture_alone_is_too_few_on_either_side(
    exports: Any, gather: Any, held_out: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    for index in range(100):
        shutil.copy(exports.pictures() / "000.png", folder / f"{index}.png")
        (key,) = prepare([folder], tmp_path / "look").keys
        if bool(divide([key], RECIPE.held_out)[1]) == held_out:
            break
        (folder / f"{index}.png").unlink()
    with pytest.raises(ConfigError, match=rf"found {1 - held_out:d} and {held_out:d}"):
        gather(folder)


def test_pictures_that_are_all_alike_are_too_few(exports: Any, gather: Any, tmp_path: Path) -> None:
    folder = tmp_path / "alike"
    folder.mkdir()
    path = exports.pictures() / "000.png"
    for index in range(80):
        shutil.copy(path, folder / f"{index}.png")
    with pytest.raises(ConfigError, match=r"expected at least 8 pictures .* found 1 and \d+"):
        gather(folder)


@pytest.mark.parametrize("complete", [True, False])
def test_captions_teach_only_where_every_picture_has_one(
    exports: Any, gather: Any, complete: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "captioned"
    folder.mkdir()
    for index, path in enumerate(sorted(exports.pictures().iterdir())):
        shutil.copy(path, folder)
        if index or complete:
            (folder / f"{path.stem}.txt").write_text(f"picture number {index}\n")
    found = gather(folder)
    if not complete:
        assert found.captions is None
        return
    assert found.captions.shape == (80, 24)
    index = found.train[3]
    (batch,) = batches(found, found_spec(found), [[(index, 0), (found.train[1], 1)]])
    assert np.array_equal(batch.captions[0], found.captions[index])
    silent = gather(folder, replace(RECIPE, weights=LossWeights(contrastive=0)))
    assert silent.captions is None


def found_spec(training_set: Any) -> Any:
    from edge.model.bundle.manifest import ImageSpec  # noqa: PLC0415

    return ImageSpec(
        height=32, width=32, resize="stretch", interpolation="bicubic", mean=(0,) * 3, std=(1,) * 3
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("qat_epochs", -1), ("batch", 1), ("chunk", 0), ("lr", 0), ("lr", 2),
        ("qat_lr", float("nan")), ("warmup", 1.1), ("weight_decay", -1), ("variations", 1000),
        ("patience", 0), ("held_out", 0), ("held_out", 0.95), ("min_distance", -0.1),
    ],
)  # fmt: skip
def test_a_recipe_out_of_bounds_is_refused_by_name(name: Any, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}: expected a number from .* found {value}"):
        Recipe(**{name: value})


@given(st.permutations(["teacher", "student", "size"]))
def test_a_fingerprint_depends_on_what_is_said_and_not_on_its_order(names: Any) -> None:
    facts = {"teacher": "t", "student": "s", "size": [1, 2]}
    assert fingerprint(RECIPE, {n: facts[n] for n in names}) == fingerprint(RECIPE, facts)


def test_every_number_of_a_recipe_and_every_fact_is_in_the_fingerprint() -> None:
    changes: list[dict[str, Any]] = [
        {"epochs": 3}, {"lr": 0.5}, {"scale": 2.0}, {"base": "teacher"}, {"seed": 1},
        {"weights": LossWeights(relational=0.5)}, {"mixed_precision": "bf16"}, {"chunk": 4},
    ]  # fmt: skip
    found = [fingerprint(replace(RECIPE, **change), {}) for change in changes]
    found += [fingerprint(RECIPE, {}), fingerprint(RECIPE, {"a": 1}), fingerprint(RECIPE, {"a": 2})]
    assert len(set(found)) == len(found)
    assert {len(one) for one in found} == {32}
