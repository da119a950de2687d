"""What the teacher said, asked once and kept."""

import errno
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from classroom import Classroom
from safetensors import safe_open

from edge.errors import ModelError
from edge.model.bundle.read import Bundle
from export.distill.align import MapShape
from export.distill.data import answers, augment
from export.distill.data.answers import AnswerCache, answer, block_path, varied
from export.distill.data.picture_set import PictureSet
from export.distill.data.training_set import _Seen
from export.distill.teacher import Answers, Teacher

MEMBERS = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 7]


@dataclass
class Fake:
    """Says the mean of each colour, and remembers what it was shown."""

    image: object
    name: str = "one"
    breaks_at: int | None = None
    shapes: tuple[MapShape, ...] = (MapShape(3, 1, 1), MapShape(1, 1, 1))
    layers: tuple[str, ...] = ("a", "b")
    seen: list[np.ndarray] = field(default_factory=list)

    @property
    def bundle(self) -> Any:
        return SimpleNamespace(hash=self.name)

    def ask(self, pixels: np.ndarray) -> Answers:
        if self.breaks_at is not None and self.rows >= self.breaks_at:
            raise KeyboardInterrupt
        self.seen.append(pixels)
        means = pixels.mean(axis=(2, 3), dtype=np.float32)
        maps = means.astype(np.float16)[:, :, None, None]
        return Answers(means, (maps, maps[:, :1]))

    @property
    def rows(self) -> int:
        return sum(len(pixels) for pixels in self.seen)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_BLOCK", 4)
    monkeypatch.setattr(answers, "_BATCH", 3)


@pytest.fixture
def ask(bundle: Bundle, pictures: PictureSet, tmp_path: Path) -> Callable[..., Any]:
    def start(
        fake: Fake | None = None,
        members: Any = MEMBERS,
        numbers: Any = range(3),
        seed: int = 0,
        folder: Path = tmp_path,
    ) -> tuple[Fake, AnswerCache]:
        fake = fake or Fake(bundle.manifest.image)
        return fake, answer(cast(Teacher, fake), pictures, members, numbers, seed, folder)

    return start


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*.*"))
        if path.is_file()
    }


def test_each_variation_of_each_picture_is_asked_once_and_found_again(
    ask: Callable[..., Any], pictures: PictureSet
) -> None:
    fake, cache = ask()
    assert fake.rows == 3 * len(MEMBERS)
    seen = np.concatenate(fake.seen)
    for number in range(3):
        for place, picture in enumerate(MEMBERS):
            expected = seen[number * len(MEMBERS) + place].mean(axis=(1, 2), dtype=np.float32)
            found = cache[picture, number]
            assert np.array_equal(found.embedding, expected[None])
            assert found.maps[0].shape == (1, 3, 1, 1)
            assert np.array_equal(found.maps[0][0, :, 0, 0], expected.astype(np.float16))
            assert np.array_equal(found.maps[1][0, 0, 0], expected[:1].astype(np.float16))
    assert np.array_equal(
        cache.embeddings([9, 35], 1),
        np.concatenate([cache[9, 1].embedding, cache[35, 1].embedding]),
    )
    again, second = ask()
    assert again.rows == 0
    assert np.array_equal(second[35, 2].embedding, cache[35, 2].embedding)


def test_more_variations_ask_for_these_alone(ask: Callable[..., Any]) -> None:
    ask(numbers=range(1, 2))
    more, _ = ask(numbers=range(3))
    assert more.rows == 2 * len(MEMBERS)


def test_a_run_that_was_broken_off_goes_on_behind_the_last_whole_block(
    ask: Callable[..., Any], bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(Fake(bundle.manifest.image, breaks_at=6))  # within the second block
    whole = files(tmp_path)
    assert [path.name for path in whole] == ["variation000-000000.safetensors"]
    rest, cache = ask()
    assert rest.rows == 3 * len(MEMBERS) - 4
    assert whole.items() <= files(tmp_path).items()
    _, expected = ask(folder=tmp_path / "fresh")
    for number in range(3):
        assert np.array_equal(
            cache.embeddings(MEMBERS, number), expected.embeddings(MEMBERS, number)
        )


@pytest.mark.parametrize(
    "change",
    [
        {"fake": {"name": "another"}},
        {"fake": {"layers": ("a", "c")}},
        {"fake": {"shapes": (MapShape(3, 1, 1), MapShape(1, 2, 1))}},
        {"seed": 1},
        {"members": MEMBERS[:-1]},
        {"members": MEMBERS[::-1]},
    ],
)
def test_another_teacher_seed_or_choice_of_pictures_shares_no_answers(
    ask: Callable[..., Any], bundle: Bundle, change: dict[str, Any], tmp_path: Path
) -> None:
    _, cache = ask(numbers=range(1))
    before = files(tmp_path)
    fake, other = ask(
        Fake(bundle.manifest.image, **change.pop("fake", {})), numbers=range(1), **change
    )
    assert other.folder != cache.folder
    assert fake.rows in {len(MEMBERS), len(MEMBERS) - 1}
    assert before.items() <= files(tmp_path).items()


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_only_whole_blocks(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = Path.write_bytes
    written = []

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) < 3:
            return write(path, data)
        write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        ModelError, match=r"No space left on device; free some space or choose .*--work"
    ):
        ask()
    assert len(files(tmp_path)) == 2
    monkeypatch.undo()
    for path in files(tmp_path):
        with safe_open(path, "numpy") as file:
            assert len(file.get_slice("embedding")[:]) > 0


def test_a_folder_that_cannot_be_written_is_an_error_with_another_remedy(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match="check the folder or choose another --work"):
        ask(folder=tmp_path / "file")


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_block_is_an_error_that_names_the_file(
    ask: Callable[..., Any], damage: str
) -> None:
    _, cache = ask()
    path = block_path(cache.folder, 1, 0)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.unlink()
    assert cache[3, 0].embedding.shape == (1, 3)
    with pytest.raises(
        ModelError, match=rf"{path.name}: expected what the teacher said.*remove the file"
    ):
        _ = cache[3, 1]


def test_answers_can_be_sent_to_another_process(ask: Callable[..., Any]) -> None:
    _, cache = ask()
    expected = cache[15, 2].embedding
    assert np.array_equal(pickle.loads(pickle.dumps(cache))[15, 2].embedding, expected)


def test_student_and_teacher_see_the_same_variation(
    ask: Callable[..., Any], room: Classroom, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student with the teacher's own input gets, byte for byte, what the teacher was asked."""
    monkeypatch.undo()  # what the room has was written in blocks of the usual size
    training_set = room.training_set
    fake, _ = ask(members=training_set.train, numbers=range(3), seed=training_set.seed)
    seen = np.concatenate(fake.seen).reshape(3, len(training_set.train), 3, 32, 32)
    taken = _Seen(training_set, room.bundle.manifest.image)
    for place in (0, 7, 20):
        picture = training_set.train[place]
        for number in range(3):
            assert np.array_equal(taken[picture, number]["pixels"], seen[number, place])
    assert not np.array_equal(seen[0], seen[1])
    whole = varied(pictures[training_set.train[0]], training_set.seed, 0)
    assert np.array_equal(whole, pictures[training_set.train[0]].rgb)
    assert augment.draw(training_set.seed, pictures.keys[0], 0) == augment.IDENTITY
