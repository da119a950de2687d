"""The units as systemd reads them: they hold together, and expose the machine little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "units"
DOC = (UNITS.parents[1] / "docs" / "config.md").read_text()
UNIT = (UNITS / "edge.service").read_text()
FORMS = {
    "x86": UNIT,
    "openvino": UNIT + (UNITS / "openvino.conf").read_text(),
    "jetson": UNIT + (UNITS / "jetson.conf").read_text(),
    "decoding on a device": UNIT + DOC.split("```ini\n")[1].split("```")[0],
}
# What a unit is that somebody writes in a minute.
NAIVE = "[Service]\nType=notify\nExecStart=/bin/true\nRestart=always\n"
MOST_EXPOSURE = 20  # tenths


def analyzed(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    unit = folder / "edge.service"
    unit.write_text(text.replace("/usr/bin/edge", "/bin/true"))  # it is not installed here
    return subprocess.run(
        ["systemd-analyze", *words, unit],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def exposed(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    limit = f"--threshold={MOST_EXPOSURE}"
    return analyzed(folder, text, "security", "--offline=yes", "--no-pager", limit)


@pytest.mark.parametrize("form", FORMS)
def test_whoever_breaks_into_the_daemon_reaches_little(tmp_path: Path, form: str) -> None:
    done = exposed(tmp_path, FORMS[form])
    assert done.returncode == 0, done.stdout


def test_the_measure_refuses_a_unit_without_a_sandbox(tmp_path: Path) -> None:
    assert exposed(tmp_path, NAIVE).returncode == 1


@pytest.mark.parametrize("form", FORMS)
def test_systemd_knows_every_setting(tmp_path: Path, form: str) -> None:
    done = analyzed(tmp_path, FORMS[form], "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_setting_that_systemd_does_not_know_is_seen(tmp_path: Path) -> None:
    done = analyzed(tmp_path, f"{UNIT}[Service]\nRestartGently=yes\n", "verify", "--man=no")
    assert "RestartGently" in done.stderr


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_daemon_is_started_again_for_ever_and_a_stuck_one_too() -> None:
    unit = settings(UNIT)
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert "RestartPreventExitStatus" not in unit
    assert unit["Type"] == ["notify"]
    # A stuck daemon is back within WatchdogSec and 5 s.
    assert int(unit["WatchdogSec"][0]) > 0
    assert int(unit["RestartSec"][0]) <= 5
    assert int(unit["TimeoutStopSec"][0]) > 5  # it ends within 5 s by itself


def test_reload_asks_the_daemon_to_read_its_file_again() -> None:
    assert settings(UNIT)["ExecReload"] == ["/bin/sh -c 'kill -HUP $MAINPID'"]


@pytest.mark.parametrize("form", ["openvino", "jetson"])
def test_only_an_engine_that_compiles_kernels_gets_memory_to_execute(form: str) -> None:
    """``tests/deb`` shows that ONNX Runtime runs without such memory, and OpenVINO does not."""
    assert settings(UNIT)["MemoryDenyWriteExecute"] == ["yes"]
    assert settings(FORMS[form])["MemoryDenyWriteExecute"] == ["yes", "no"]


def untouched(text: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run the unit's condition on a configuration file."""
    (line,) = settings(text)["ExecCondition"]
    words = line.removeprefix("/bin/sh -c '").removesuffix("'")
    return subprocess.run(
        ["/bin/sh", "-c", words.replace("/etc/edge/edge.yaml", str(file))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_file_that_sets_nothing_starts_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text("# device:\n#   id: nvr-01\n\n")
    done = untouched(UNIT, file)
    assert done.returncode == 1  # 1 to 254: systemd skips the unit, and does not restart it
    assert "systemctl restart edge" in done.stdout
    file.write_text("# device:\ndevice: {id: nvr-01}\n")
    assert untouched(UNIT, file).returncode == 0


@pytest.mark.parametrize("form", FORMS)
def test_the_daemon_may_ask_whether_the_clock_is_synchronised_and_cannot_set_it(form: str) -> None:
    unit = settings(FORMS[form])
    # glibc asks by the second of these.
    assert "adjtimex clock_adjtime" in unit["SystemCallFilter"]
    assert "ProtectClock" not in unit
    assert unit["CapabilityBoundingSet"] == [""]


FILTER = Path(__file__).resolve().parents[1] / "deb" / "under_filter.py"
CALLS = "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"


def lacking(folder: Path, text: str) -> list[str]:
    """Barriers of the cameras' sandbox that do not hold under a unit's filter of system calls."""
    unit = folder / "edge.service"
    unit.write_text(text)
    words = [sys.executable, "-m", "edge.system.sandbox.experiment"]
    done = subprocess.run(
        ["/usr/bin/python3", FILTER, unit, "/", "root", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [one["name"] for one in json.loads(done.stdout)["barriers"] if one["lacking"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try a unit's filter")
@pytest.mark.parametrize("form", FORMS)
def test_a_camera_may_go_into_its_sandbox_under_the_unit(tmp_path: Path, form: str) -> None:
    if subprocess.run(["/usr/bin/python3", "-c", "import seccomp"], check=False).returncode:
        pytest.skip("python3-seccomp is not installed here")
    assert lacking(tmp_path, FORMS[form]) == []
    assert lacking(tmp_path, FORMS[form].replace(CALLS, "")) == ["Landlock", "system calls"]
