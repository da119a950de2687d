"""The scripts around an update, in a folder that stands for the box."""

from pathlib import Path

import pytest
from flashed_box import Box, flashed_box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return flashed_box(tmp_path)


def note(
    box: Box, slot: str, state: str = "installed", daemon: str = "healthy", online: str = "yes"
) -> None:
    text = f"slot={slot}\nbundle=abc\nstate={state}\ndaemon={daemon}\nonline={online}\n"
    box.set("data/update/pending", text)


def test_a_healthy_update_is_accepted(box: Box) -> None:
    note(box, "A")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-good booted"]
    assert box.has("run/edge/gate")
    assert not box.has("data/update/pending")
    assert "slot=A accepted" in box.console


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("health", "not healthy: nothing answers\n", "the daemon is not healthy: nothing answers"),
        ("address", "\n", "no interface has an address"),
        ("runs", "one\ntwo\n", "restarted"),
    ],
)
def test_an_unhealthy_update_goes_back(box: Box, name: str, text: str, why: str) -> None:
    note(box, "A")
    box.set(name, text)
    assert box.run("health-gate") == 0
    assert box.calls == ["systemctl reboot"]
    assert box.has("data/update/pending")
    assert not box.has("run/edge/gate")  # so that the deadline restarts the box if this does not
    assert why in box.console


@pytest.mark.parametrize(
    ("name", "text", "noted"),
    [
        ("health", "not healthy\n", {"daemon": "troubled"}),
        ("address", "\n", {"online": "no"}),
    ],
)
def test_what_failed_before_the_update_is_not_asked_of_it(
    box: Box, name: str, text: str, noted: dict[str, str]
) -> None:
    note(box, "A", **noted)
    box.set(name, text)
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-good booted"]


def test_an_accepted_slot_is_not_judged_again(box: Box) -> None:
    box.set("health", "not healthy\n")
    box.set("address", "\n")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-good booted"]


def test_a_newer_slot_whose_start_was_cut_off_gets_another_chance(box: Box) -> None:
    box.set("etc/os-release", 'IMAGE_VERSION="1.4.0"\n')
    box.set("grubenv", "A_OK=1\nB_OK=1\n")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-good booted", "rauc status mark-good other"]


def test_back_in_the_former_slot_the_failure_is_noted(box: Box) -> None:
    note(box, "B")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-bad other", "rauc status mark-good booted"]
    assert len((box.folder / "data/update/failed/abc").read_text().splitlines()) == 1


def test_an_interrupted_installation_is_no_failure(box: Box) -> None:
    note(box, "B", state="installing")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-good booted"]
    assert not box.has("data/update/failed/abc")
    assert not box.has("data/update/pending")


def test_a_full_disk_does_not_keep_the_gate_from_accepting(box: Box) -> None:
    note(box, "B")
    box.set("data/update/failed", "a file where a folder should be: mkdir fails\n")
    assert box.run("health-gate") == 0
    assert box.calls == ["rauc status mark-bad other", "rauc status mark-good booted"]


def install(box: Box, version: str = "1.5.0") -> int:
    box.set("bundle/manifest.raucm", f"[update]\nversion={version}\n")
    return box.run("before-install", RAUC_BUNDLE_MOUNT_POINT=str(box.folder / "bundle"))


def test_an_installation_notes_what_works_now(box: Box) -> None:
    box.set("run/edge/gate", "")
    box.set("address", "\n")
    assert install(box) == 0
    noted = (box.folder / "data/update/pending").read_text()
    assert "slot=B\n" in noted
    assert "state=installing\ndaemon=healthy\nonline=no\n" in noted
    assert box.run("after-install") == 0
    assert (box.folder / "data/update/pending").read_text() == noted.replace(
        "installing", "installed"
    )


def test_an_older_version_is_refused(box: Box) -> None:
    box.set("run/edge/gate", "")
    assert install(box, "1.3.9") == 1
    assert "older" in box.console
    assert not box.has("data/update/pending")


def test_nothing_is_installed_over_the_former_slot_while_this_one_is_on_trial(box: Box) -> None:
    assert install(box) == 1
    assert "still on trial" in box.console


def test_a_bundle_that_failed_twice_is_not_tried_again(box: Box) -> None:
    box.set("run/edge/gate", "")
    assert install(box) == 0
    bundle = (box.folder / "data/update/pending").read_text().split("bundle=")[1].split("\n")[0]
    box.set(f"data/update/failed/{bundle}", "once\n")
    assert install(box) == 0
    box.set(f"data/update/failed/{bundle}", "once\ntwice\n")
    assert install(box) == 1
    assert "twice" in box.console


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.3.9", "its version 1.3.9 is older than 1.4.0, which runs"),
        ("1.5.0", "certificate has expired"),
    ],
)
def test_a_stick_says_why_its_update_is_not_installed(box: Box, version: str, why: str) -> None:
    box.set("run/edge/gate", "")
    box.set("run/edge/refused", "a reason of another update\n")
    box.set("run/edge/stick/new.raucb", "")
    box.set("bundle/manifest.raucm", f"[update]\nversion={version}\n")
    install = "RAUC_BUNDLE_MOUNT_POINT=bundle usr/lib/edge/before-install >/dev/null"
    refuse = f"{install} && echo 'LastError: certificate has expired'; false"
    box.set("bin/rauc", f'#!/bin/sh\n[ "$1" = info ] || {{ {refuse}; }}\n')
    assert box.run("update-from-stick", "/dev/sdx1") == 1
    answer = (box.folder / "run/edge/stick/edge-update.txt").read_text()
    assert answer == f"not installed: new.raucb: {why}\n"
    assert answer in box.console


def test_settings_that_take_too_long_to_check_are_refused_with_a_reason(box: Box) -> None:
    box.set("run/edge/config/edge-config.yaml", "device: {id: box}\n")
    box.set("data/site/former/hostname", "box\n")
    assert box.run("import-config") == 0
    answer = (box.folder / "run/edge/config/edge-config.error.txt").read_text()
    assert answer == "expected settings that are checked within two minutes\n"
    assert answer in box.console
    assert box.has("data/site/former/hostname")


def test_foreign_words_move_no_cursor_on_a_console(box: Box) -> None:
    box.set("run/edge/config/edge-config.yaml", "device: {id: box}\n")
    (box.folder / "data/site").mkdir()
    box.set("bin/timeout", "#!/bin/sh\nprintf '%s' 'unknown key \\033[2J\\n'; exit 2\n")
    assert box.run("import-config") == 0
    assert box.console.endswith("unknown key \\033[2J\\n\n")


def test_the_deadline_restarts_a_box_that_hangs(box: Box) -> None:
    assert box.run("deadline") == 0
    assert box.calls == ["systemctl reboot --force"]


@pytest.mark.parametrize(
    "health", ["healthy: int8 on openvino, up for 3 s", "not healthy: no daemon runs"]
)
def test_the_consoles_say_how_the_daemon_is(box: Box, health: str) -> None:
    box.set("health", f"{health}\n")
    assert box.run("tell-health") == 0
    assert box.console == f"edge: {health}\n"
