"""The toy study: repeatable, and a teacher is worth having."""

from export.distill.studies.toy_scenes import KINDS, SIDE, scenes
from export.distill.studies.toy_study import ARMS, study


def test_the_same_seed_draws_the_same_scenes_and_another_one_others() -> None:
    pictures, kinds = scenes(40, 3)
    again, _ = scenes(40, 3)
    assert pictures.shape == (40, 3, SIDE, SIDE)
    assert set(kinds) <= set(range(KINDS))
    assert (pictures == again).all()
    assert (pictures != scenes(40, 4)[0]).any()


def test_a_seed_gives_the_same_students_and_mimicry_is_nearer_than_the_task_alone() -> None:
    arms = {name: ARMS[name] for name in ("no teacher", "mimicry")}
    found = study(0, steps=80, teacher_steps=30, arms=arms)
    assert found["mimicry"].cosine > found["no teacher"].cosine + 0.05
    few = study(0, steps=3, teacher_steps=3)
    assert few == study(0, steps=3, teacher_steps=3)
    assert list(few) == list(ARMS)
