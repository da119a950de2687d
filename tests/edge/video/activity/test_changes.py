from collections.abc import Callable, Iterator

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.video.activity.changes import CELLS, Changes, Reducer

Cells = NDArray[np.float32]
Disturbance = Callable[[Cells, int, np.random.Generator], None]


def looks(changes: Changes, pictures: Iterator[Cells]) -> list[bool]:
    return [changes.look(cells) for cells in pictures]


def scene(
    count: int, disturb: Disturbance, *, person_at: range = range(0), seed: int = 1
) -> Iterator[Cells]:
    """Cells of a scene with sensor noise; a person crosses a cell in each of some pictures."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(20, 220, (CELLS, CELLS)).astype(np.float32)
    for number in range(count):
        cells = still + rng.normal(0, 0.3, still.shape).astype(np.float32)
        disturb(cells, number, rng)
        if number in person_at:
            cells[20, number % CELLS] += 9
        yield cells


def nothing(cells: Cells, number: int, rng: np.random.Generator) -> None:
    pass


def clock(cells: Cells, number: int, rng: np.random.Generator) -> None:
    cells[0, 20:24] += 25 * (number // 2 % 3)


def tree(cells: Cells, number: int, rng: np.random.Generator) -> None:
    cells[2:9, 3:9] += rng.normal(0, 15, (7, 6))


def clouds(cells: Cells, number: int, rng: np.random.Generator) -> None:
    cells += 20 * np.sin(number / 3)


@pytest.mark.parametrize("disturb", [nothing, clock, tree, clouds])
def test_what_always_changes_is_no_change_and_a_person_is(disturb: Disturbance) -> None:
    changes = Changes()
    quiet = looks(changes, scene(300, disturb))
    assert np.mean(quiet[60:]) < 0.05
    crossing = looks(changes, scene(20, disturb, person_at=range(10, 20)))
    assert sum(crossing[10:]) >= 8


def test_a_lamp_that_goes_on_is_a_change() -> None:
    changes = Changes()
    looks(changes, scene(100, nothing))
    (lit,) = (cells + 15 for cells in scene(1, nothing))
    assert changes.look(lit)


def test_people_now_and_then_never_become_usual() -> None:
    people = [number for number in range(600) if number % 10 < 3]
    changes, rng = Changes(), np.random.default_rng(3)
    seen = []
    for number, cells in enumerate(scene(600, nothing)):
        if number in people:
            cells[rng.integers(CELLS), rng.integers(CELLS)] += 12
        seen.append(changes.look(cells))
    assert np.mean([seen[number] for number in people if number > 60]) > 0.95


def test_cells_are_the_brightness_of_the_picture() -> None:
    grey = np.full((180, 320, 3), 50, np.uint8)
    grey[:90, :160] = 200
    cells = Reducer()(av.VideoFrame.from_ndarray(grey, format="rgb24"))
    assert cells.shape == (CELLS, CELLS)
    assert cells[2, 2] - cells[20, 20] == pytest.approx(150, abs=3)
