"""What ends the process twice in a row is not tried again, and only that."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StruckOut
from edge.system.attempts import Attempts
from edge.system.ending import Ended


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "attempts.json"


def attempt(attempts: Attempts, part: str, facts: str = "") -> Any:
    return attempts.trying(part, facts, "do something")


def die(path: Path, *parts: str) -> None:
    """A process that ends, without a word, while it tries these parts, each in its own thread."""
    attempts = Attempts(path, patience_s=0.01)
    for part in parts:
        begun = threading.Event()
        threading.Thread(target=never_end, args=(attempts, part, begun), daemon=True).start()
        assert begun.wait(10)


def never_end(attempts: Attempts, part: str, begun: threading.Event) -> None:
    with attempt(attempts, part):
        begun.set()
        threading.Event().wait()


def refused(path: Path, part: str, facts: str = "", **words: Any) -> bool:
    try:
        with attempt(Attempts(path, **words), part, facts):
            return False
    except StruckOut:
        return True


def test_it_is_set_aside_after_the_second_time_by_name_and_with_advice(path: Path) -> None:
    die(path, "camera yard")
    die(path, "camera yard")
    match = "camera yard is set aside: .* 2 times in a row; to try again, do something, or remove"
    with pytest.raises(StruckOut, match=match), attempt(Attempts(path), "camera yard"):
        pass


@pytest.mark.parametrize("deaths", [0, 1])
def test_once_is_not_enough(path: Path, deaths: int) -> None:
    for _ in range(deaths):
        die(path, "camera yard")
    assert not refused(path, "camera yard")


def test_a_success_in_between_begins_the_count_anew(path: Path) -> None:
    die(path, "camera yard")
    assert not refused(path, "camera yard")
    die(path, "camera yard")
    assert not refused(path, "camera yard")


def test_a_failure_in_words_in_between_does_not(path: Path) -> None:
    die(path, "camera yard")
    with pytest.raises(OSError, match="away"), attempt(Attempts(path), "camera yard"):
        raise OSError("away")
    die(path, "camera yard")
    assert refused(path, "camera yard")


def test_other_parts_and_other_facts_are_tried(path: Path) -> None:
    die(path, "camera yard")
    die(path, "camera yard")
    assert not refused(path, "camera gate")
    assert not refused(path, "camera yard", "another url")


def test_who_was_there_too_is_tried_alone_and_is_not_to_blame(path: Path) -> None:
    """Two die together; one of them is tried alone then, and only its death proves anything."""
    die(path, "innocent", "deadly")
    with attempt(Attempts(path), "innocent"):
        pass
    die(path, "deadly")
    assert not refused(path, "innocent")
    assert refused(path, "deadly")


def test_dying_together_again_and_again_proves_nothing(path: Path) -> None:
    for _ in range(5):
        die(path, "one", "other")
    assert not refused(path, "one")
    assert not refused(path, "other")


def test_a_suspect_waits_until_it_is_alone_and_the_others_wait_for_it(
    path: Path, eventually: Callable[..., None]
) -> None:
    die(path, "suspect")
    attempts = Attempts(path)
    done: list[str] = []

    def work(part: str) -> None:
        with attempt(attempts, part):
            assert json.loads(path.read_text())["under_way"][0].startswith(part)
            done.append(part)

    with attempt(attempts, "other"):
        suspect = threading.Thread(target=work, args=("suspect",))
        suspect.start()
        suspect.join(0.05)
        assert done == []
    suspect.join(10)
    assert done == ["suspect"]


def test_the_inner_of_two_is_to_blame(path: Path) -> None:
    for _ in range(2):
        attempts = Attempts(path)
        begun = threading.Event()

        def nested(attempts: Attempts = attempts, begun: threading.Event = begun) -> None:
            with attempt(attempts, "the sentence"):
                never_end(attempts, "the text graph", begun)

        threading.Thread(target=nested, daemon=True).start()
        assert begun.wait(10)
    assert refused(path, "the text graph")
    assert not refused(path, "the sentence")


def test_what_was_asked_to_end_blames_nobody(path: Path) -> None:
    for _ in range(3):
        attempts, begun = Attempts(path), threading.Event()
        words = attempts, "camera yard", begun
        threading.Thread(target=never_end, args=words, daemon=True).start()
        assert begun.wait(10)
        attempts.forgive()
    with pytest.raises(Ended), attempt(attempts, "camera gate"):
        raise Ended
    assert not refused(path, "camera yard")


def test_a_power_cut_blames_nobody(path: Path) -> None:
    for _ in range(3):
        die(path, "camera yard")
        page = json.loads(path.read_text())
        _, number, started = page["process"].split()
        path.write_text(json.dumps(page | {"process": f"another-boot {number} {started}"}))
    assert not refused(path, "camera yard")


def test_what_is_set_aside_is_tried_again_after_a_quiet_hour(path: Path) -> None:
    die(path, "camera yard")
    die(path, "camera yard")
    clock = [0.0]
    attempts = Attempts(path, now=lambda: clock[0])
    clock[0] = 3599.0
    with pytest.raises(StruckOut), attempt(attempts, "camera yard"):
        pass
    clock[0] = 3601.0
    with attempt(attempts, "camera yard"):
        pass
    assert not refused(path, "camera yard")


def test_what_was_well_once_is_not_written_again(path: Path) -> None:
    attempts = Attempts(path)
    with attempt(attempts, "camera yard") as well:
        well()
        assert json.loads(path.read_text())["under_way"] == []
    path.unlink()
    with attempt(attempts, "camera yard"):
        assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_": "edge-attempts/9"}', b"\xff" * 99])
def test_a_file_that_cannot_be_read_blames_nobody(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert not refused(path, "camera yard")
    assert "begins anew" in caplog.text


def test_a_disk_that_takes_nothing_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("no folder")
    attempts = Attempts(path)
    for part in ("one", "other"):
        with attempt(attempts, part):
            pass
    assert caplog.text.count("cannot be noted") == 1


def test_a_second_daemon_on_the_same_folder_is_no_death_of_the_first(path: Path) -> None:
    with attempt(Attempts(path), "camera yard"):
        page = json.loads(path.read_text())
        started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        boot = page["process"].split()[0]
        path.write_text(json.dumps(page | {"process": f"{boot} 1 {started}"}))
        before = path.read_bytes()
        with attempt(Attempts(path), "camera gate"):
            assert path.read_bytes() == before
