"""A file over which the process dies each time is set aside whole, and the rest goes on.

The e2e test of deadly parts does it with a sentence and a camera, and a process that is killed.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from dying import Dying
from patience import Eventually
from tiny_bundle import tiny_bundle

from edge.config.load import checked
from edge.config.models import Config, EngineConfig
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.model.choice import choose
from edge.search.open import open_index
from edge.system.attempts import Attempts

MB = 1 << 20
ALERT = Message("edge/box/yard/alert", b"{}", "alert", "yard", 1, False, "application/json")


@pytest.mark.parametrize(("deaths", "queued", "aside"), [(0, 1, 0), (1, 1, 0), (2, 0, 1)])
def test_an_outbox_that_ends_the_process_twice_is_kept_with_its_messages_and_begun_anew(
    tmp_path: Path, deaths: int, queued: int, aside: int, caplog: pytest.LogCaptureFixture
) -> None:
    path, notes = tmp_path / "outbox.db", tmp_path / "attempts.json"
    with contextlib.closing(Outbox(path, MB)) as box:
        box.put([ALERT])
    for _ in range(deaths):
        Outbox(path, MB, Dying(notes)).close()
    with contextlib.closing(Outbox(path, MB, Attempts(notes))) as box:
        assert box.counts().queued["alert"] == queued
        assert box.counts().damaged == aside
        box.put([ALERT])
    kept = sorted(tmp_path.glob("outbox-corrupt-*.db"))
    assert len(kept) == aside
    for one in kept:
        assert f"kept as {one} with its messages" in caplog.text
        with contextlib.closing(Outbox(one, MB)) as box:
            assert box.counts().queued["alert"] == 1
    # Neither file is to blame any more.
    with contextlib.closing(Outbox(path, MB, Attempts(notes))) as box:
        assert box.counts().queued["alert"] == queued + 1


def test_an_index_that_ends_the_process_twice_is_left_alone_and_reported(
    tmp_path: Path, eventually: Eventually
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    values = {
        "device": {"id": "box"}, "bundle": str(bundle.path), "mqtt": {"host": "localhost"},
        "prompts": {"rule": {"text": "red"}}, "cameras": {"yard": {"url": "rtsp://camera"}},
        "state_dir": str(tmp_path), "index": {"enabled": True},
    }  # fmt: skip
    config = checked(Config, values)

    def error(attempts: Attempts) -> str | None:
        opened = open_index(config, bundle, 4, contextlib.nullcontext, no_picture, dict, attempts)  # type: ignore[arg-type]  # no search is made
        assert opened is not None
        opened.writer.start()
        opened.writer.stop(10)  # it writes once more at its end
        return opened.writer.health().error

    notes = tmp_path / "attempts.json"
    assert error(Dying(notes)) is None
    assert error(Dying(notes)) is None
    assert "the index is set aside: the daemon has ended over it 2" in str(error(Attempts(notes)))
    notes.unlink()
    assert error(Attempts(notes)) is None


def no_picture(*_: object) -> None:
    return None


def dies_over(word: str) -> Callable[[Path], Attempts]:
    """A process that dies over parts that have ``word`` in their name, and over no others."""

    class Picky(Dying):
        def _remove(self, thread: int, key: str, *, well: bool) -> None:
            if word not in key:
                Attempts._remove(self, thread, key, well=well)

    return Picky


def test_a_variant_whose_compiler_ends_the_process_twice_is_not_chosen(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    notes, cache = tmp_path / "attempts.json", tmp_path / "choices"
    config = EngineConfig(kind="openvino")
    deadly = dies_over("int8")
    for _ in range(2):
        choose(bundle, config, cache, keep=False, attempts=deadly(notes))
    found = choose(bundle, config, cache, attempts=Attempts(notes))
    assert found.variant.precision == "fp32"
    failures = {one.precision: one.failure for one in found.measured}
    assert failures["fp32"] is None
    assert "(openvino int8) is set aside: the daemon has ended over it 2" in str(failures["int8"])
