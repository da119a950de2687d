"""Faults of a soak are drawn by seed, one after the other."""

import itertools

from benchmarks.studies.soak.faults import BROKER_FAULTS, CAMERA_FAULTS, failures


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    one, same, other = (list(failures(seed, 3600, 4, 15.0)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_faults_do_not_overlap_and_every_kind_comes() -> None:
    drawn = list(failures(3, 20_000, 4, 15.0))
    for failure, following in itertools.pairwise(drawn):
        assert failure.at_s + failure.for_s <= following.at_s
    assert {failure.fault for failure in drawn} == {*CAMERA_FAULTS, *BROKER_FAULTS}
    assert {failure.camera for failure in drawn} == {None, 0, 1, 2, 3}
    assert all((failure.camera is None) == (failure.fault in BROKER_FAULTS) for failure in drawn)
    assert 20_000 / 35 < len(drawn) < 20_000 / 18  # 15 s between them, 10.5 s each
