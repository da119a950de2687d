"""A box goes into a file and comes out of it; what is wrong with the file changes nothing."""

import contextlib
import hashlib
import io
import os
import shutil
import stat
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from backed_up import SECRETS, make_box, message, waiting, word_of
from tiny_bundle import tiny_bundle

from edge.backup.archive import MANIFEST, BackupManifest, open_archive
from edge.backup.make import back_up
from edge.backup.restore import restore
from edge.cli.main import app
from edge.config.models import Config
from edge.delivery.outbox import Outbox
from edge.delivery.outbox_copy import COPY, WANTED, OutboxCopy
from edge.errors import ConfigError, EdgeError, OutboxError, SideFileError, SourceError
from edge.resources import RESTORING, open_resources
from edge.system.ending import Stop
from edge.system.keeper import Keeper

OLD = [b"alert 0", b"alert 1", b"alert 2"]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of nvr-01, whose box is dead."""
    path = tmp_path / "nvr-01.edge-backup"
    back_up(make_box(tmp_path / "dead"), path)
    shutil.rmtree(tmp_path / "dead")
    return path


@pytest.fixture
def spare(tmp_path: Path) -> Path:
    """The configuration of a box that takes its place, and has been something else before."""
    return make_box(tmp_path / "spare", "nvr-01", alerts=1, word="former")


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_box_comes_out_as_it_went_in(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    config = tmp_path / "new" / "edge.yaml"
    config.write_text("state_dir: state\n")  # a fresh box: no name yet
    done = restore(backup, config)
    assert done.manifest.device == "nvr-01"
    assert waiting(config.parent / "state") == OLD
    assert word_of(config.parent / "state" / "learned.db") == "old"
    assert "device: {id: nvr-01}" in config.read_text()
    for name, text in SECRETS.items():
        path = config.parent / name
        assert path.read_text() == f"{text}# old\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (config.parent / "not-ours.txt").exists()
    assert (config.parent / "before-restore-1" / "edge.yaml").read_text() == "state_dir: state\n"


def test_what_was_there_is_kept_and_what_the_backup_has_not_is_gone(
    backup: Path, spare: Path
) -> None:
    state = spare.parent / "state"
    (state / "retained.json").write_text("{}")
    done = restore(backup, spare)
    assert waiting(state) == OLD
    assert not (state / "retained.json").exists()
    kept = state / "before-restore-1"
    assert done.aside == (spare.parent / "before-restore-1", kept)
    assert waiting(kept) == [b"alert 0"]
    assert word_of(kept / "learned.db") == "former"
    assert (kept / "retained.json").exists()
    assert "# former" in (spare.parent / "before-restore-1" / "edge.yaml").read_text()
    assert (spare.parent / "not-ours.txt").read_text() == "stays"


def test_the_index_goes_along_where_it_is_asked_for(tmp_path: Path, spare: Path) -> None:
    config = make_box(tmp_path / "box")
    segment = f"index/{'a' * 64}/{'c' * 64}/00000042"
    for folder, word in ((config.parent, b"rows"), (spare.parent, b"former")):
        path = folder / "state" / segment / "rows.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(word)
    back_up(config, tmp_path / "without")
    back_up(config, tmp_path / "with", index=True)
    restore(tmp_path / "with", spare)
    restored = spare.parent / "state"
    assert (restored / segment / "rows.bin").read_bytes() == b"rows"
    assert (restored / "before-restore-1" / segment / "rows.bin").read_bytes() == b"former"
    restore(tmp_path / "without", spare)
    assert not (restored / "index").exists()
    assert (restored / "before-restore-2" / segment / "rows.bin").read_bytes() == b"rows"


def test_only_its_owner_can_read_a_backup(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert b"canary-key" in backup.read_bytes()  # nothing encrypts it
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]


def test_the_outbox_of_a_running_daemon_is_copied_by_itself(tmp_path: Path) -> None:
    config = make_box(tmp_path / "box", alerts=0)
    state = config.parent / "state"
    target = tmp_path / "running.edge-backup"
    with contextlib.closing(Outbox(state / "outbox.db", 64 << 20)) as outbox:
        outbox.put([message(number) for number in range(5_000)])
        keeper = Keeper([OutboxCopy(outbox, state)], period_s=0.01)
        keeper.start()
        ended = threading.Event()
        stored = list(range(5_000))

        def go_on() -> None:
            while not ended.wait(0.002):
                outbox.put([message(len(stored))])
                stored.append(len(stored))

        daemon = threading.Thread(target=go_on)
        daemon.start()
        try:
            back_up(config, target)
        finally:
            ended.set()
            daemon.join()
            keeper.stop(5)
    assert not list(state.glob("outbox-copy*"))
    shutil.rmtree(config.parent)
    make_box(config.parent, alerts=0)
    restore(target, config)
    found = waiting_all(state)
    assert len(found) > 5_000
    assert found == [b"alert %d" % number for number in range(len(found))]


def waiting_all(state: Path) -> list[bytes]:
    with contextlib.closing(Outbox(state / "outbox.db", 64 << 20)) as outbox:
        found: list[bytes] = []
        while batch := outbox.pending(5000):
            found += [queued.message.payload for queued in batch]
            outbox.delete(queued.seq for queued in batch)
        return found


def test_a_daemon_that_does_not_answer_makes_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_box(tmp_path / "box")
    state = config.parent / "state"
    monkeypatch.setattr("edge.backup.make._BUSY_S", 0.0)
    monkeypatch.setattr("edge.backup.make._PATIENCE_S", 0.1)
    with contextlib.closing(Outbox(state / "outbox.db", 1 << 20)):
        with pytest.raises(SideFileError, match="the daemon has not copied its outbox"):
            back_up(config, tmp_path / "file")
        (state / WANTED).touch()
        with pytest.raises(SideFileError, match="another backup runs"):
            back_up(config, tmp_path / "file")
    (state / WANTED).unlink()
    assert not (state / COPY).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["box"]


def test_a_full_disk_costs_the_copy_and_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 1 << 20)) as outbox:
        outbox.put([message(0)])

        def full(_path: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(outbox, "copy_to", full)
        (tmp_path / WANTED).touch()
        with pytest.raises(SideFileError, match="No space left"):
            OutboxCopy(outbox, tmp_path).flush()
        assert not (tmp_path / WANTED).exists()
        assert outbox.counts().queued["alert"] == 1


def test_a_running_daemon_is_not_restored_over(backup: Path, spare: Path) -> None:
    before = content(spare.parent)
    with contextlib.closing(Outbox(spare.parent / "state" / "outbox.db", 1 << 20)):
        with pytest.raises(ConfigError, match="the daemon runs here"):
            restore(backup, spare)
        assert not (spare.parent / "state" / RESTORING).exists()
    assert content(spare.parent) == before | {  # opening the outbox makes its reserve
        name: data for name, data in content(spare.parent).items() if name not in before
    }


def test_a_file_on_another_disk_is_not_torn_from_its_link(
    backup: Path, spare: Path, tmp_path: Path
) -> None:
    learned = spare.parent / "state" / "learned.db"
    learned.rename(tmp_path / "elsewhere.db")
    learned.symlink_to("../../elsewhere.db")
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=r"learned\.db is a link to"):
        restore(backup, spare)
    assert content(tmp_path) == before
    learned.unlink()
    restore(backup, spare)  # the control


def test_another_box_is_restored_only_where_its_name_is_given(backup: Path, tmp_path: Path) -> None:
    other = make_box(tmp_path / "other", "nvr-02")
    with pytest.raises(ConfigError, match="--become nvr-01"):
        restore(backup, other)
    with pytest.raises(ConfigError, match="--become names 'nvr-03'"):
        restore(backup, other, become="nvr-03")
    restore(backup, other, become="nvr-01")
    assert "id: nvr-01" in other.read_text()


def test_a_backup_does_not_choose_where_the_state_is(backup: Path, spare: Path) -> None:
    spare.write_text(spare.read_text().replace("state_dir: state", "state_dir: elsewhere"))
    with pytest.raises(ConfigError, match=r"write state_dir: .*state into"):
        restore(backup, spare)
    assert not (spare.parent / "elsewhere").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_kill_at_any_moment_leaves_the_former_box_or_one_that_does_not_start(
    backup: Path, tmp_path: Path
) -> None:
    template = make_box(tmp_path / "template", "nvr-01", alerts=1, word="former").parent
    former = content(template)
    marks = steps = 0
    ended = False
    while not ended:
        box = tmp_path / "box"
        shutil.copytree(template, box)
        ended = killed_at_step(steps, partial(restore, backup, box / "edge.yaml"))
        found = content(box)
        if (box / "state" / RESTORING).exists():
            marks += 1
        elif not (box / "before-restore-1").exists():
            staged = {name for name in found if ".edge-restore" in name or name.endswith(".new")}
            assert {k: v for k, v in found.items() if k not in staged} == former
        restore(backup, box / "edge.yaml")
        assert waiting(box / "state") == OLD
        kept = content(box / "before-restore-1") | content(box / "state" / "before-restore-1")
        for name in ("edge.yaml", "secrets.yaml", "state/outbox.db", "state/learned.db"):
            assert kept[name.removeprefix("state/")] == former[name]
        assert not list(box.rglob(".edge-restore"))
        shutil.rmtree(box)
        steps += 7  # there are about seventy
    assert steps > 40
    assert marks > 2


def killed_at_step(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that ends before its file operation of this number."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(event: str, _arguments: object) -> None:
            if event in {"os.rename", "os.remove", "os.mkdir", "os.chmod", "os.rmdir", "os.link"}:
                if left[0] == 0:
                    os._exit(9)
                left[0] -= 1

        try:
            sys.addaudithook(count)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 9}
    return code == 0


def rewritten(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write a hostile backup: that of ``path``, with other members."""
    with tarfile.open(path) as tar:
        members = [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]
    change(members)
    hostile = path.with_name("hostile")
    with tarfile.open(hostile, "w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return hostile


Members = list[tuple[tarfile.TarInfo, bytes]]


def listed(members: Members, name: str, data: bytes = b"x", **facts: object) -> None:
    """Add a member that the manifest lists, too."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    members.append((info, data))
    manifest = members[0][1].decode()
    entry = (
        f'{{"name": "{name}", "size": {len(data)}, "sha256": "{hashlib.sha256(data).hexdigest()}",'
        ' "mode": 384}'
    )
    changed = manifest.rstrip().removesuffix("}").rstrip().removesuffix("]").rstrip()
    changed = f"{changed}, {entry}]}}"
    members[0][0].size = len(changed)
    members[0] = (members[0][0], changed.encode())


def told(members: Members, old: str, new: str) -> None:
    changed = members[0][1].decode().replace(old, new).encode()
    members[0][0].size = len(changed)
    members[0] = (members[0][0], changed)


def flipped(members: Members) -> None:
    info, data = members[-1]
    members[-1] = (info, data[:-1] + bytes([data[-1] ^ 1]))


HOSTILE: dict[str, tuple[Callable[[Members], None], str]] = {
    "climbs": (lambda m: listed(m, "config/../../evil"), "manifest is wrong: files"),
    "absolute": (lambda m: listed(m, "/etc/evil"), "manifest is wrong: files"),
    "hidden": (lambda m: listed(m, "config/.ssh/authorized_keys"), "manifest is wrong: files"),
    "not of a box": (lambda m: listed(m, "config/cron.d/evil"), "does not name config/cron.d/evil"),
    "not of a state": (lambda m: listed(m, "state/evil.so"), "does not name state/evil.so"),
    "not listed": (lambda m: m.append((tarfile.TarInfo("config/evil"), b"")), "holds more than"),
    "twice": (lambda m: listed(m, "config/secrets.yaml"), "lists a file twice"),
    "symbolic link": (
        lambda m: listed(m, "config/credentials/k", b"", type=tarfile.SYMTYPE, linkname="/etc/x"),
        "something else than plain files",
    ),
    "hard link": (
        lambda m: listed(m, "config/credentials/k", b"", type=tarfile.LNKTYPE, linkname="/etc/x"),
        "something else than plain files",
    ),
    "device": (
        lambda m: listed(m, "config/credentials/k", b"", type=tarfile.BLKTYPE),
        "something else than plain files",
    ),
    "a flipped bit": (flipped, "is not what was backed up"),
    "newer": (lambda m: told(m, "edge-backup/1", "edge-backup/2"), "a newer version made it"),
    "set-user-id": (lambda m: told(m, '"mode": 384', '"mode": 2541'), "manifest is wrong: files"),
    "no manifest": (lambda m: m.pop(0) and None, "it is no backup"),
    "config elsewhere": (
        lambda m: told(m, '"config": "edge.yaml"', '"config": "../edge.yaml"'),
        "has no configuration",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_backup_is_refused_and_changes_nothing(
    backup: Path, spare: Path, tmp_path: Path, kind: str
) -> None:
    change, why = HOSTILE[kind]
    before = content(tmp_path)
    hostile = rewritten(backup, change)
    with pytest.raises(SourceError, match=why):
        restore(hostile, spare)
    hostile.unlink()
    assert content(tmp_path) == before


def test_a_rewritten_backup_that_is_not_hostile_is_restored(backup: Path, spare: Path) -> None:
    """The control: what refuses the others is their fault, not that they were rewritten."""
    restore(rewritten(backup, lambda m: listed(m, "config/credentials/more")), spare)
    assert (spare.parent / "credentials" / "more").read_text() == "x"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.97])
def test_a_backup_that_is_cut_off_is_refused(backup: Path, spare: Path, share: float) -> None:
    before = content(spare.parent)
    backup.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * share)])
    with pytest.raises(SourceError, match="nothing was changed"):
        restore(backup, spare)
    assert content(spare.parent) == before


def test_a_size_that_no_disk_has_is_refused_before_anything_is_written(
    backup: Path, spare: Path
) -> None:
    data = bytearray(backup.read_bytes())
    with tarfile.open(backup) as tar:
        (entry,) = [info for info in tar if info.name == "state/outbox.db"]
    huge = tarfile.TarInfo("state/outbox.db")
    huge.size = 1 << 60
    data[entry.offset : entry.offset + 512] = huge.tobuf(tarfile.GNU_FORMAT)
    backup.write_bytes(data)
    with pytest.raises(SourceError, match="it is cut off"):
        restore(backup, spare)


def test_files_of_a_newer_version_are_refused(tmp_path: Path, spare: Path) -> None:
    config = make_box(tmp_path / "newer")
    page = config.parent / "state" / "desired.json"
    page.write_text('{"schema_": "edge-desired/99"}')
    back_up(config, tmp_path / "file")
    before = content(spare.parent)
    with pytest.raises(SourceError, match="start the version that wrote it"):
        restore(tmp_path / "file", spare)
    assert content(spare.parent) == before


def test_what_no_backup_can_hold_is_named(tmp_path: Path) -> None:
    config = make_box(tmp_path / "box")
    config.write_text(config.read_text().replace("tls/ca.pem", "/etc/ssl/site.pem"))
    assert back_up(config, tmp_path / "file").elsewhere == ("/etc/ssl/site.pem",)
    with open_archive(tmp_path / "file") as archive:
        assert isinstance(archive.manifest, BackupManifest)
        assert MANIFEST not in [entry.name for entry in archive.manifest.files]


@pytest.mark.parametrize("text", ["", "mqtt: {}", "device: [", "- a"])
def test_without_a_box_there_is_nothing_to_back_up(tmp_path: Path, text: str) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(text)
    with pytest.raises(EdgeError):
        back_up(config, tmp_path / "file")
    assert not (tmp_path / "file").exists()


class Further(Exception):
    """A start has come further than the check."""


def test_no_daemon_starts_on_a_box_that_is_restored_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def further(_config: Config) -> None:
        raise Further

    monkeypatch.setattr("edge.resources.clip_spec", further)
    tiny_bundle(tmp_path / "tiny")
    config = Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": tmp_path / "tiny",
            "state_dir": tmp_path,
            "mqtt": {"host": "127.0.0.1"},
            "prompts": {"red": {"text": "red"}},
            "cameras": {"yard": {"url": "file:unused.mp4"}},
        }
    )
    (tmp_path / RESTORING).touch()
    for _ in range(2):
        with ExitStack() as stack, pytest.raises(OutboxError, match="run the same `edge restore`"):
            open_resources(config, stack, Stop(), lambda: None)
    (tmp_path / RESTORING).unlink()
    with ExitStack() as stack, pytest.raises(Further):  # the control
        open_resources(config, stack, Stop(), lambda: None)


def test_the_commands_are_there() -> None:
    names = {command.name for command in app.registered_commands}
    assert {"backup", "restore", "health"} <= names
