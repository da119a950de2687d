"""Search through real files: planted events are found, at their time, best first."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ConfigError
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.search.index import format as layout
from edge.search.index import segment
from edge.search.index.codes import CodedDirection, Codes, Guesser
from edge.search.index.format import Entry
from edge.search.index.segment import remove_segment
from edge.search.index.store import Found, Reader, Store
from edge.search.query import Page, Query, search

NOW = 1_750_000_000.0
DIM = 16
ALL = Query(0.0, 1e12)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def bank() -> PromptBank:
    """The sentence is axis 0, the background axis 1."""
    prompt = CompiledPrompt("search", "search", slice(0, 1), slice(1, 1), np.array([1]), None)
    return PromptBank((prompt,), ("it", "nothing"), np.eye(2, DIM, dtype=np.float32), (), "")


def day(count: int, events: list[tuple[int, int, float]], seed: int = 0) -> list[Entry]:
    """A camera for ``count`` seconds: mostly background, and events (start, stop, strength)."""
    rng = np.random.default_rng(seed)
    vectors = 0.1 * rng.normal(size=(count, DIM))
    vectors[:, 1] += 1
    for start, stop, strength in events:
        vectors[start:stop, 0] += strength
    return [Entry(NOW + i, i, vector) for i, vector in enumerate(unit(vectors))]


EVENING = day(60, [(20, 30, 3.0)])
DOOR = replace(ALL, camera="door", limit=1)


@pytest.fixture
def index(tmp_path: Path, make_store: Callable[..., Store]) -> Callable[..., tuple[Reader, Store]]:
    """``index(camera=entries, ...)``: a reader of an index with these."""

    def make(**cameras: list[Entry]) -> tuple[Reader, Store]:
        store = make_store(tmp_path)
        for camera, entries in cameras.items():
            for start in range(0, len(entries), 16):
                store.append(camera, entries[start : start + 16])
        return Reader(tmp_path / "m", DIM), store

    return make


def seconds(page: Page) -> list[tuple[str, float, float]]:
    return [(hit.camera, hit.moment.start - NOW, hit.moment.end - NOW) for hit in page.hits]


EVENTS = {"yard": [(100, 110, 2.5), (700, 730, 4.0)], "door": [(400, 403, 3.2)]}


def test_planted_events_are_found_best_first_at_their_time(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(**{name: day(1000, events) for name, events in EVENTS.items()})
    page = search(reader, bank, ALL)
    found = [(camera, start, end) for camera, start, end in seconds(page)[:3]]
    expected: Any = [
        (camera, pytest.approx(start, abs=1), pytest.approx(end, abs=1))
        for camera, start, end in [("yard", 700, 730), ("door", 400, 403), ("yard", 100, 110)]
    ]
    assert found == expected
    assert page.samples == 2000
    assert all(hit.moment.score < 0.2 for hit in page.hits[3:])


def test_the_two_stages_find_what_reading_everything_finds(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, _ = index(yard=day(3000, [(s, s + 12, 1 + s / 1000) for s in range(50, 2900, 190)]))
    everything = search(reader, bank, replace(ALL, limit=10))

    def few() -> Page:
        return search(reader, bank, replace(ALL, limit=10), most_blocks=20)  # of 94

    def nothing(_: Guesser, codes: Codes, question: CodedDirection) -> NDArray[np.float32]:
        return np.arange(len(codes.lengths), dtype=np.float32)

    assert seconds(few()) == seconds(everything)
    # The control: with codes that say nothing, they are not.
    monkeypatch.setattr(Guesser, "__call__", nothing)
    assert seconds(few()) != seconds(everything)


def test_a_moment_that_is_longer_than_its_blocks_is_followed_to_its_ends(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(yard=day(2000, [(500, 1400, 3.0)]))
    (first, *_) = seconds(search(reader, bank, ALL, most_blocks=1))
    expected: Any = ("yard", pytest.approx(500, abs=1), pytest.approx(1400, abs=1))
    assert first == expected


def test_no_sample_is_in_two_moments(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(yard=day(2000, [(s, s + 20, 1 + s / 500) for s in range(10, 1990, 60)]))
    found = sorted(seconds(search(reader, bank, replace(ALL, limit=100))))
    assert len(found) > 10
    assert all(a[2] <= b[1] for a, b in pairwise(found))


def test_camera_and_times_restrict_what_is_found(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(**{name: day(1000, events) for name, events in EVENTS.items()})
    door = search(reader, bank, replace(ALL, camera="door"))
    assert {hit.camera for hit in door.hits} == {"door"}
    assert door.samples == 1000
    early = search(reader, bank, Query(NOW + 50, NOW + 105))
    expected: Any = ("yard", pytest.approx(100, abs=1), pytest.approx(105, abs=1))
    assert seconds(early)[0] == expected
    assert all(NOW + 49 <= hit.moment.start <= hit.moment.end <= NOW + 106 for hit in early.hits)
    assert search(reader, bank, Query(NOW + 5000, NOW + 6000)).hits == ()


def test_pages_follow_each_other_without_overlap(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(yard=day(2000, [(s, s + 20, 1 + s / 500) for s in range(10, 1990, 60)]))
    whole = search(reader, bank, replace(ALL, limit=20))
    pages = [search(reader, bank, replace(ALL, limit=8, offset=at)) for at in (0, 8, 16)]
    assert [hit for page in pages for hit in page.hits][:20] == list(whole.hits)
    assert pages[0].more
    assert not search(reader, bank, replace(ALL, limit=100, offset=1000)).more


def test_what_is_still_being_filled_is_found_too(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(yard=day(40, [(20, 30, 3.0)]))  # a segment has 64 rows
    expected: Any = (pytest.approx(20, abs=1), pytest.approx(30, abs=1))
    assert seconds(search(reader, bank, ALL))[0][1:] == expected


def test_a_camera_that_is_looked_at_once_a_minute_has_moments_too(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    entries = day(60, [(30, 34, 3.0)])
    reader, _ = index(yard=[replace(entry, at=NOW + 60 * i) for i, entry in enumerate(entries)])
    first, *_ = seconds(search(reader, bank, ALL))
    expected: Any = ("yard", pytest.approx(1800, abs=60), pytest.approx(2040, abs=60))
    assert first == expected


def test_the_picture_nearest_to_the_peak_comes_along(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank, tmp_path: Path
) -> None:
    reader, store = index(yard=day(60, [(20, 30, 3.0)]))
    for at in (5, 22, 26, 50):
        store.keep_picture("yard", NOW + at, b"%d" % at)
    hit, *_ = search(reader, bank, ALL).hits
    nearest = min((22, 26), key=lambda at: abs(NOW + at - hit.moment.peak))
    assert hit.picture is not None
    assert hit.picture.read_bytes() == b"%d" % nearest
    assert [hit.picture for hit in search(index(door=EVENING)[0], bank, DOOR).hits] == [None]


def test_nothing_fits_where_the_background_always_fits_better(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    reader, _ = index(yard=day(500, []))
    opposite = PromptBank(bank.prompts, bank.sentences, np.vstack([-np.eye(2, DIM)[1:], np.eye(2, DIM)[1:]]).astype(np.float32), (), "")  # fmt: skip
    assert search(reader, opposite, ALL).hits == ()


def test_an_empty_index_has_an_empty_page(tmp_path: Path, bank: PromptBank) -> None:
    page = search(Reader(tmp_path / "none", DIM), bank, ALL)
    assert (page.hits, page.more, page.samples) == ((), False, 0)


class Racing(Reader):
    """A reader to whose segments something happens right after it has found them."""

    def segments(self, camera: str | None, since: float, until: float) -> list[Found]:
        found = super().segments(camera, since, until)
        for one in found:
            self.harm(one.segment.folder)
        return found

    def harm(self, folder: Path) -> None:
        remove_segment(folder)


class Losing(Racing):
    """The other thing that may happen to a file: it loses its end."""

    def harm(self, folder: Path) -> None:
        for name in ("rows", "codes"):
            with suppress(FileNotFoundError):
                os.truncate(folder / name, 16)


@pytest.mark.parametrize("racing", [Racing, Losing])
def test_segments_that_expire_or_are_cut_off_during_the_search_are_left_out(
    tmp_path: Path,
    index: Callable[..., tuple[Reader, Store]],
    bank: PromptBank,
    racing: type[Racing],
) -> None:
    index(**{name: day(1000, events) for name, events in EVENTS.items()})
    assert search(racing(tmp_path / "m", DIM), bank, ALL).hits == ()
    assert search(Reader(tmp_path / "m", DIM), bank, replace(ALL, camera="nobody")).hits == ()


def _without_rows(folder: Path) -> None:
    (folder / "rows").unlink()


def _rows_that_are_a_folder(folder: Path) -> None:
    _without_rows(folder)
    (folder / "rows").mkdir()


def _foreign_pictures(folder: Path) -> None:
    for name in ("IMG.jpg", "1.5.jpg", ".jpg"):
        (folder / name).write_bytes(b"jpeg")


def _foreign_files(folder: Path) -> None:
    (folder.parent / "notes").write_text("mine")
    (folder.parent / "00000099").write_text("mine too")


def _change(name: str, offset: int, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return change


def _cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


# Rows of 16 dimensions have 36 bytes, after 16 of header; codes have 40 bytes before their words.
_HURT: dict[str, Callable[[Path], None]] = {
    "codes without rows": _without_rows,
    "rows that are a folder": _rows_that_are_a_folder,
    "no row left": _cut("rows", 16),
    "half a header": _cut("rows", 7),
    "half the rows": _cut("rows", 16 + 32 * 36),
    "half a row": _cut("rows", 16 + 40 * 36 + 5),
    "an empty file": _cut("rows", 0),
    "rows of nothing": _change("rows", 16, bytes(64 * 36)),
    "rows of noise": _change("rows", 16, bytes(range(256)) * 9),
    "rows of ones": _change("rows", 16, b"\xff" * 64 * 36),
    "no codes": _cut("codes", 0),
    "codes cut off": _cut("codes", 1000),
    "codes of no row": _change("codes", 12, bytes(4)),
    "codes of a time that is none": _change("codes", 16, b"\xff" * 16),
    "a mean that is no number": _change("codes", 40 + 64 * 64, b"\xff" * 64),
    "a mean beyond all": _change("codes", 40 + 64 * 64, b"\xff\xff\x7f\x7f" * 16),
    "lengths that are no numbers": _change("codes", 40 + 64 * 64 + 64, b"\xff" * 256),
    "foreign pictures": _foreign_pictures,
    "foreign files": _foreign_files,
}


@pytest.mark.parametrize("hurt", _HURT.values(), ids=_HURT)
def test_a_damaged_segment_costs_at_most_its_own_moments(
    tmp_path: Path,
    index: Callable[..., tuple[Reader, Store]],
    bank: PromptBank,
    hurt: Callable[[Path], None],
) -> None:
    reader, _ = index(yard=day(320, [(20, 40, 3.0), (200, 220, 2.5)]))
    assert len([found for found in seconds(search(reader, bank, ALL)) if found[1] < 64]) == 1
    hurt(tmp_path / "m" / "yard" / "00000000")
    for one in (reader, Reader(tmp_path / "m", DIM)):
        page = search(one, bank, ALL)
        expected: Any = ("yard", pytest.approx(200, abs=1), pytest.approx(220, abs=1))
        assert expected in seconds(page)
        assert all(np.isfinite(hit.moment.score) and hit.moment.score <= 1 for hit in page.hits)
        search(one, bank, Query(NOW + 10, NOW + 30))  # asks for the times within the segment


def test_what_a_disk_cannot_read_is_left_out_and_logged_but_forbidden_files_are_an_error(
    index: Callable[..., tuple[Reader, Store]],
    bank: PromptBank,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, _ = index(yard=day(320, [(20, 40, 3.0), (200, 220, 2.5)]))
    real = layout.read_rows

    def failing(number: int) -> None:
        def read(path: Path, *which: Any) -> list[NDArray[np.void]]:
            if path.parent.name == "00000000":
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *which)

        monkeypatch.setattr(segment, "read_rows", read)

    failing(errno.EIO)
    assert next(found[1] > 190 for found in seconds(search(reader, bank, ALL)))
    assert "00000000/rows: expected a file that can be read" in caplog.text
    failing(errno.EACCES)
    with pytest.raises(PermissionError):
        search(reader, bank, ALL)


def test_a_sentence_with_time_in_it_is_refused(
    index: Callable[..., tuple[Reader, Store]], bank: PromptBank
) -> None:
    two = PromptBank(bank.prompts * 2, bank.sentences, bank.rows, (), "")
    with pytest.raises(ConfigError, match="search for each part by itself"):
        search(index(yard=day(10, []))[0], two, ALL)
