"""A stick with the label EDGE_BACKUP, in a folder that stands for the box; ``edge`` is a double."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
from flashed_box import Box, flashed_box

SITE = "device: {id: nvr-01}\n"
STICK = "run/edge/backup"
ANSWER = f"{STICK}/edge-backup.txt"
# Says what the real one says, and writes or names the file that it was given.
EDGE = """#!/bin/sh
echo "edge $*" >>calls
[ ! -e refusal ] || { cat refusal >&2; exit 2; }
case $1 in
backup) echo secrets >"$2"; echo "nvr-01: 4 files, 0.1 MB in $2. Keep it safe." ;;
restore) mkdir -p etc/edge/before-restore-1 var/lib/edge/before-restore-1 ;;
esac
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box with accepted settings; a stick with a copy of them is in it."""
    box = flashed_box(tmp_path)
    box.set("bin/edge", EDGE)
    site = "data/site/print"
    box.set(f"{site}/hostname", "nvr-01\n")
    box.set(f"{site}/edge-config.sha256", f"{sha256(SITE.encode()).hexdigest()}  -\n")
    (tmp_path / "data/site/current").symlink_to("print")
    box.set("data/machine-id", "0123456789abcdef\n")
    box.set("etc/edge/edge.yaml", SITE)
    box.set("dev/disk/by-label/EDGE_BACKUP", "")
    box.set(f"{STICK}/edge-config.yaml", SITE)
    (tmp_path / "var/lib/edge").mkdir(parents=True)
    # What it does is shown where the image is started.
    box.set("usr/lib/edge/import-config", "#!/bin/sh\necho import-config >>calls\n")
    return box


def answer(box: Box) -> str:
    return (box.folder / ANSWER).read_text()


def restored(box: Box) -> bool:
    assert box.run("restore-from-stick", EDGE_STICK_PATIENCE="0") == 0  # the daemon starts after it
    return any(call.startswith("edge restore") for call in box.calls)


def test_a_stick_gets_a_backup_under_the_names_of_box_and_machine(box: Box) -> None:
    assert box.run("backup-to-stick", "/dev/sdx1") == 0
    assert (box.folder / STICK / "nvr-01-01234567.backup").read_text() == "secrets\n"
    assert answer(box) == "nvr-01: 4 files, 0.1 MB in nvr-01-01234567.backup. Keep it safe.\n"
    assert answer(box) in box.console


@pytest.mark.parametrize("found", [None, "device: {id: nvr-02}\n", ""])
def test_who_does_not_have_the_boxs_settings_gets_no_backup(box: Box, found: str | None) -> None:
    (box.folder / STICK / "edge-config.yaml").unlink()
    if found is not None:
        box.set(f"{STICK}/edge-config.yaml", found)
    assert box.run("backup-to-stick", "/dev/sdx1") == 1
    assert box.calls == []
    assert "expected a copy of this box's edge-config.yaml" in answer(box)


def test_a_box_without_accepted_settings_gives_no_backup(box: Box) -> None:
    (box.folder / "data/site/current").unlink()
    box.set(f"{STICK}/edge-config.yaml", "")
    assert box.run("backup-to-stick", "/dev/sdx1") == 1
    assert box.calls == []


def test_a_backup_that_fails_says_why(box: Box) -> None:
    box.set("refusal", "the disk is full\n")
    assert box.run("backup-to-stick", "/dev/sdx1") == 1
    assert answer(box) == "no backup: the disk is full\n"


def test_a_box_that_never_ran_becomes_the_one_of_the_newest_backup(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "newest")
    box.set(f"{STICK}/nvr-01-00000000.backup", "older")
    older = box.folder / STICK / "nvr-01-00000000.backup"
    os.utime(older, (1e9, 1e9))
    assert restored(box)
    newest = f"{box.folder}/{STICK}/nvr-01-ffffffff.backup"
    config = f"{box.folder}/etc/edge/edge.yaml"
    assert box.calls == [f"edge restore {newest} --config {config}", "import-config"]
    assert answer(box) == "restored: nvr-01-ffffffff.backup\n"
    assert not [*box.folder.rglob("before-restore-*")]
    # The settings count as new: the request for a certificate is made again, with the restored key.
    assert (box.folder / "data/site/current").readlink() == Path("restored")
    assert (box.folder / "data/site/current/hostname").read_text() == "nvr-01\n"


def test_the_stick_that_was_restored_is_not_written_in_the_same_run(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "backup")
    assert restored(box)
    assert box.run("backup-to-stick", "/dev/sdx1") == 0
    assert box.calls == []


def test_a_box_of_the_same_name_puts_no_newer_backup_beside_that_of_the_one_before(
    box: Box,
) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "of the box that died")
    assert box.run("backup-to-stick", "/dev/sdx1") == 1
    assert box.calls == []
    assert "no backup: nvr-01-ffffffff.backup is of a box of the same name" in answer(box)


def test_a_restored_box_backs_itself_up_beside_those_whose_place_it_took(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "backup")
    box.set(f"{STICK}/nvr-01-00000000.backup", "older")
    os.utime(box.folder / STICK / "nvr-01-00000000.backup", (1e9, 1e9))
    assert restored(box)
    (box.folder / "run/edge/restore-tried").unlink()  # with the next start
    assert box.run("backup-to-stick", "/dev/sdx1") == 0
    assert (box.folder / STICK / "nvr-01-01234567.backup").exists()


def test_of_many_boxes_backups_a_box_takes_its_own(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "own")
    os.utime(box.folder / STICK / "nvr-01-ffffffff.backup", (1e9, 1e9))
    for other in ("nvr-02-ffffffff", "nvr-01-b-ffffffff"):
        box.set(f"{STICK}/{other}.backup", "newer, of another box")
    assert restored(box)
    assert answer(box) == "restored: nvr-01-ffffffff.backup\n"


def test_where_only_others_have_backups_none_is_restored(box: Box) -> None:
    box.set(f"{STICK}/nvr-02-ffffffff.backup", "backup")
    assert not restored(box)
    assert "expected a backup of nvr-01, found nvr-02-ffffffff.backup" in answer(box)


def test_a_box_that_has_run_is_never_overwritten(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "backup")
    box.set("var/lib/edge/outbox.db", "")
    assert not restored(box)
    box.set("var/lib/edge/restore.unfinished", "")  # the power failed meanwhile
    assert restored(box)


@pytest.mark.parametrize("missing", ["etc/edge/edge.yaml", "dev/disk/by-label/EDGE_BACKUP", STICK])
def test_without_settings_stick_or_backup_the_box_starts_as_it_is(box: Box, missing: str) -> None:
    if missing != STICK:
        box.set(f"{STICK}/nvr-01-ffffffff.backup", "backup")
        (box.folder / missing).unlink()
    assert not restored(box)
    assert not box.has(ANSWER)


def test_the_backup_of_another_box_is_not_restored(box: Box) -> None:
    box.set(f"{STICK}/nvr-02-ffffffff.backup", "backup")
    box.set(f"{STICK}/edge-config.yaml", "device: {id: nvr-02}\n")
    assert not restored(box)
    assert "not restored: nvr-02-ffffffff.backup: expected the edge-config.yaml" in answer(box)


def test_a_backup_that_is_refused_leaves_the_box_as_it_was(box: Box) -> None:
    box.set(f"{STICK}/nvr-01-ffffffff.backup", "backup")
    box.set("refusal", "it is damaged; nothing was changed\n")
    assert restored(box)
    assert "not restored: nvr-01-ffffffff.backup: it is damaged; nothing was changed" in answer(box)
    assert (box.folder / "data/site/current").readlink() == Path("print")
    # The daemon, which now runs for the first time, has nothing to back up yet: the words stay.
    assert box.run("backup-to-stick", "/dev/sdx1") == 0
    assert "it is damaged" in answer(box)
    assert box.calls == []
