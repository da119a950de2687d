"""The support bundle says what support needs, and not one canary comes out in it."""

import base64
import contextlib
import json
import re
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from edge.cli.support.bundle import write_bundle
from edge.cli.support.secrets import Masker
from edge.delivery.outbox import Outbox
from edge.system.redact import MASK

# A canary has what escapes are made of, and is in one place each.
CANARIES = {
    "camera URL": "can/1 ämera&<pw>",
    "MQTT password": "can'2\"mqtt+pw=",
    "TLS key": "MIIcanary3tlskeyBASE64line",
    "secrets.yaml": "canary4;in-secrets.yaml",
    "unused secret": "canary5-that-nothing-names",
    "credential": "canary6 handed by systemd",
    "environment": "canary7in$environment",
    "token of a URL": "canary8token",
    "of another program": "canary9elsewhere",
}


def ways(word: str) -> Iterator[bytes]:
    """How a text may write a word."""
    raw = word.encode()
    yield raw
    yield quote(word, safe="").encode()
    yield quote(word).encode()
    yield quote(quote(word, safe=""), safe="").encode()
    yield json.dumps(word)[1:-1].encode()
    yield repr(word)[1:-1].encode()
    yield raw.hex().encode()
    for before in ("", "u", "us", "user:"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(before.encode() + raw)
            yield encode(before.encode() + raw + b" and more")


def decoded(data: bytes) -> bytes:
    """Everything in a text that is base64 of something, wherever it begins."""
    found = []
    for word in re.findall(rb"[A-Za-z0-9+/_-]{6,}", data.replace(b"-", b"+").replace(b"_", b"/")):
        for at in range(4):
            whole = word[at:]
            whole = whole[:-1] if len(whole) % 4 == 1 else whole
            found.append(base64.b64decode(whole + b"=" * (-len(whole) % 4)))
    return b"|".join(found)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box with a canary in each place that knows a secret, and a log that says all of them."""
    monkeypatch.setenv("BROKER_TOKEN", CANARIES["environment"])
    handed = tmp_path / "handed"
    (handed / "edge").mkdir(parents=True)
    (handed / "edge" / "camera").write_text(CANARIES["credential"] + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "secrets.yaml").write_text(
        f"yard: {CANARIES['secrets.yaml']}\nold: {CANARIES['unused secret']}\n"
    )
    (folder / "secrets.yaml").chmod(0o600)
    (folder / "box.key").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{CANARIES['TLS key']}\n-----END PRIVATE KEY-----\n"
    )
    config = folder / "edge.yaml"
    camera = quote(CANARIES["camera URL"], safe="")
    config.write_text(
        "device: {id: nvr-01}\nstate_dir: state\nnonsense: true\n"
        "mqtt:\n  host: broker.example\n  username: box\n"
        f"  password: {json.dumps(CANARIES['MQTT password'])}\n"
        "  tls: {cert: box.pem, key: box.key}\n"
        "cameras:\n"
        f'  yard: {{url: "rtsp://viewer:{camera}@192.0.2.10/stream2"}}\n'
        f'  gate: {{url: "rtsp://192.0.2.11/s?token={CANARIES["token of a URL"]}"}}\n'
        '  hall: {url: "rtsp://viewer:${HALL}@192.0.2.12/"}\n'
        "  door: {url: !secret yard}\n"
    )
    with contextlib.closing(Outbox(folder / "state" / "outbox.db", 1 << 20)):
        pass
    return config


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "edge.log"
    unknown = CANARIES["of another program"]  # masked only where it looks like a secret
    lines = [
        f"connecting with {way.decode()} as asked"
        for canary in CANARIES.values()
        for way in ways(canary)
        if canary != unknown
    ]
    lines += [
        f"password={unknown}",
        f"user property: {CANARIES['credential']}",
        f"Authorization: Basic {base64.b64encode(b'someone:unknownword').decode()}",
        "worker publisher has failed; camera yard is refused",
    ]
    path.write_text("\n".join(lines))
    return path


def content(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as tar:
        return {
            info.name.removeprefix("edge-support/"): file.read()
            for info in tar
            if (file := tar.extractfile(info)) is not None
        }


def found(files: dict[str, bytes]) -> set[tuple[str, str]]:
    """Names of files, and of the canaries that sing in them."""
    return {
        (name, place)
        for name, data in files.items()
        for place, canary in CANARIES.items()
        if canary.encode() in decoded(data) or any(way in data for way in ways(canary))
    }


def test_no_canary_comes_out_however_it_is_written(box: Path, log: Path, tmp_path: Path) -> None:
    raw = {"log": log.read_bytes()}
    assert found(raw) == {("log", place) for place in CANARIES}  # the control
    bundle = tmp_path / "support.tar.gz"
    write_bundle(bundle, box, [log], check=False)
    files = content(bundle)
    assert found(files) == set()
    assert b"unknownword" in decoded(raw["log"])
    assert b"unknownword" not in decoded(files["log-0-edge.log"])
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600


def test_it_says_what_support_needs(
    box: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None of them is a secret, and each would mask half of what support needs.
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("SSL_KEY_CHECK", "True")
    monkeypatch.setenv("OLDPWD", "publisher")
    write_bundle(tmp_path / "file", box, [log], check=True)
    files = content(tmp_path / "file")
    assert b"worker publisher has failed; camera yard is refused" in files["log-0-edge.log"]
    config = files["config.yaml"].decode()
    assert "host: broker.example" in config
    assert f"rtsp://viewer:{MASK}@192.0.2.10/stream2" in config
    assert "!secret yard" in config
    check = json.loads(files["check.json"].decode().partition("exit code")[0])
    assert check["exit_code"] == 2
    assert "unknown key 'nonsense'" in str(check)
    state = json.loads(files["state.json"])
    (outbox,) = [entry for entry in state if entry.get("name") == "outbox.db"]
    assert (outbox["version"], outbox["totals"][0]) == (1, [0, 0, 0, 0])
    assert json.loads(files["health.json"])["healthy"] is False
    about = json.loads(files["about.json"])
    assert {"edge", "python", "kernel", "clock_synced", "packages"} <= about.keys()
    assert {"journal.txt", "dmesg.txt", "systemd.txt", "cpu.txt", "disks.txt"} <= files.keys()


def test_a_configuration_that_is_no_yaml_hides_its_passwords(tmp_path: Path) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text("mqtt: {password: canary-in-broken\n camera: rtsp://me:canary-too@h/\n\t")
    write_bundle(tmp_path / "file", config, [], check=False)
    text = content(tmp_path / "file")["config.yaml"]
    assert b"canary" not in text
    assert b"mqtt: {password: ***" in text


@pytest.mark.parametrize(
    "line", ["3 passes: none", "pts 100", "alert 01JX start: yard/cat, margin +0.1"]
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert Masker({"hushhush"})(line)[:8] == line[:8]
    assert Masker(set())("an alert of camera yard") == "an alert of camera yard"


def test_the_command_writes_the_file_and_names_what_is_in_it(box: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "support-bundle", str(tmp_path / "file"), "--no-check",
         "--config", str(box)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "health.json" in done.stdout
    assert "secrets are masked" in done.stdout
