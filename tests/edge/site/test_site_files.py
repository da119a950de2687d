"""The site file: what an installer writes becomes what the box reads, or a line that says why not."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli.main import app
from edge.config.load import load_config
from edge.errors import ConfigError
from edge.site.files import NTS_SERVERS, QR_BYTES, BoxFile, box_files
from edge.site.models import PortConfig, TimeConfig
from edge.system import redact

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SITE = """\
device: {id: Gate_7.north}
mqtt: {host: broker.example, port: 8883, tls: {}}
prompts:
  person: {text: a person}
cameras:
  yard: {url: "rtsp://viewer:pa$$w0rd@192.0.2.10/stream2"}
"""


@pytest.fixture(autouse=True)
def _no_secrets_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    monkeypatch.setattr(redact, "_any_secret", re.compile(r"(?!)"))


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], dict[str, BoxFile]]:
    def run(text: str) -> dict[str, BoxFile]:
        path = tmp_path / "edge-config.yaml"
        path.write_text(text)
        return box_files(path)

    return run


@pytest.fixture
def problem(made: Callable[[str], dict[str, BoxFile]], tmp_path: Path) -> Callable[[str], str]:
    def run(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            made(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return run


def as_the_box_has_it(files: dict[str, BoxFile], folder: Path) -> Path:
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file.content)
    return folder / "edge" / "edge.yaml"


def test_the_smallest_site_gives_everything_a_box_needs(
    made: Callable[[str], dict[str, BoxFile]], tmp_path: Path
) -> None:
    files = made(SITE)
    config = load_config(as_the_box_has_it(files, tmp_path / "box"), {})
    assert config.device.id == "Gate_7.north"
    assert config.bundle == Path("/usr/share/edge/bundle")
    assert config.state_dir == Path("/var/lib/edge")
    assert files["hostname"].content == b"gate-7-north\n"
    assert b"Name=en* eth*\n\n[Network]\nDHCP=yes\n" in files["network/90-any.network"].content
    time = files["chrony/site.sources"].content.decode()
    assert [f"server {name} iburst nts" for name in NTS_SERVERS] == time.splitlines()[1:]


@pytest.mark.parametrize("password", ["${HOME}", "$${x}", "a$b", "0755", "o'k\"", "пароль"])
def test_a_secret_reaches_the_daemon_as_it_was_written(
    made: Callable[[str], dict[str, BoxFile]], tmp_path: Path, password: str
) -> None:
    (tmp_path / "secrets.yaml").write_text(f"broker: '{password.replace(chr(39), chr(39) * 2)}'\n")
    (tmp_path / "secrets.yaml").chmod(0o600)
    text = SITE.replace("tls: {}", "tls: {}, username: u, password: !secret broker")
    files = made(text)
    config = load_config(as_the_box_has_it(files, tmp_path / "box"), {})
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == password
    assert files["edge/edge.yaml"].secret


def test_certificates_come_from_the_folder_or_from_the_file_itself(
    made: Callable[[str], dict[str, BoxFile]], tmp_path: Path
) -> None:
    (tmp_path / "broker-ca.pem").write_text(PEM)
    inline = "".join(f"      {line}\n" for line in PEM.splitlines())
    text = SITE.replace(
        "mqtt: {host: broker.example, port: 8883, tls: {}}",
        f"mqtt:\n  host: b\n  tls:\n    ca: broker-ca.pem\n    cert: |\n{inline}    key: |\n{inline}",
    )
    files = made(text)
    assert {name: file.secret for name, file in files.items() if name.endswith(".pem")} == {
        "edge/ca.pem": False,
        "edge/cert.pem": False,
        "edge/key.pem": True,
    }
    assert {files[f"edge/{name}.pem"].content for name in ("ca", "cert", "key")} == {PEM.encode()}
    tls = load_config(as_the_box_has_it(files, tmp_path / "box"), {}).mqtt.tls
    assert tls is not None
    assert tls.ca == tmp_path / "box" / "edge" / "ca.pem"


def test_ports_with_addresses_come_before_the_one_for_all(
    made: Callable[[str], dict[str, BoxFile]],
) -> None:
    files = made(
        SITE
        + "network:\n"
        + "  enp1s0: {address: 192.168.1.20/24, gateway: 192.168.1.1, dns: 192.168.1.1}\n"
        + "  enp2s0: {address: fd00::2/64}\n"
    )
    names = [name for name in files if name.startswith("network/")]
    assert names == sorted(names)
    first = files["network/10-site-00.network"].content.decode()
    assert first.partition("\n")[2] == (
        "[Match]\nName=enp1s0\n\n[Network]\nAddress=192.168.1.20/24\nGateway=192.168.1.1\n"
        "DNS=192.168.1.1\n"
    )
    assert "DHCP" not in files["network/10-site-01.network"].content.decode()


def test_a_closed_network_asks_its_own_time_server_only(
    made: Callable[[str], dict[str, BoxFile]],
) -> None:
    time = made(SITE + "time: {ntp: 192.168.1.1}\n")["chrony/site.sources"].content.decode()
    assert time.splitlines()[1:] == ["server 192.168.1.1 iburst"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("netwrok: {}", "edge-config.yaml:7: unknown key 'netwrok'; did you mean 'network'?"),
        (
            "network: {enp1s0: {adress: 192.168.1.2/24}}",
            "edge-config.yaml:7: network.enp1s0: unknown key 'adress'; did you mean 'address'?",
        ),
        ("network: {enp1s0: {address: 192.168.1.2}}", "such as 192.168.1.20/24"),
        ("network: {enp1s0: {address: 192.168.1.0/24}}", "not that of the whole network"),
        ("network: {enp1s0: {gateway: 192.168.1.1}}", "expected an address beside the gateway"),
        (
            "network: {enp1s0: {address: 192.168.1.2/24, gateway: 10.0.0.1}}",
            "expected a gateway in the network of 192.168.1.2/24",
        ),
        ("network: {enp1s0: {dns: router}}", "expected an IP address"),
        ('network: {"en\\n[X]": {}}', "network"),
        ("time: {nts: 'a b'}", "expected a host name"),
        ("state_dir: /data/x", "remove the key"),
        ("bundle: bundles/mine", "expected an absolute path, as it is on the box"),
        ("clip: {bundle: x}", "edge-config.yaml:7: clip.bundle: expected an absolute path"),
        ("bundle_keys: [none.pub]", "bundle_keys.0: cannot read none.pub: No such file"),
    ],
)
def test_a_mistake_is_said_with_its_line(
    problem: Callable[[str], str], wrong: str, said: str
) -> None:
    assert said in problem(SITE + wrong + "\n")


def test_the_daemons_file_does_not_suggest_keys_of_the_site(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(SITE + "bundle: b\nnetwrok: {}\n")
    with pytest.raises(ConfigError, match="unknown key 'netwrok'; expected one of"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ("{ca: ca.pem}", "mqtt.tls.ca: cannot read ca.pem: No such file"),
        ("{ca: junk.pem}", "mqtt.tls.ca: expected PEM"),
        ("{ca: long.pem}", "expected at most 64 KiB"),
        ("{ca: .}", "expected a file beside edge-config.yaml"),
        ("{ca: certs/ca.pem}", "expected a file beside edge-config.yaml"),
        ("{ca: /etc/ssl/ca.pem}", "expected a file beside edge-config.yaml"),
        ("{ca: folder.pem}", "Is a directory"),
        ("{key: junk.pem}", "expected cert and key together"),
    ],
)
def test_a_certificate_that_is_none_is_refused(
    problem: Callable[[str], str], tmp_path: Path, tls: str, said: str
) -> None:
    (tmp_path / "junk.pem").write_text("hello")
    (tmp_path / "folder.pem").mkdir()
    (tmp_path / "long.pem").write_text(PEM + " " * 65_536)
    assert said in problem(SITE.replace("tls: {}", f"tls: {tls}"))


def test_the_password_of_a_camera_is_not_in_an_error(problem: Callable[[str], str]) -> None:
    text = SITE.replace("rtsp://", "rtps://")
    assert "pa$$w0rd" not in problem(text)
    assert "rtps" in problem(text)


def test_a_site_is_written_to_an_empty_folder_only(tmp_path: Path) -> None:
    file, out = tmp_path / "edge-config.yaml", tmp_path / "out"
    file.write_text(SITE)
    done = CliRunner().invoke(app, ["site", str(file), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"{len(SITE)} bytes, of the 2331 that a QR code holds" in done.output
    modes = {
        path.relative_to(out).as_posix(): path.stat().st_mode & 0o777
        for path in out.rglob("*")
        if path.is_file()
    }
    assert modes == {
        "edge/edge.yaml": 0o640,
        "network/90-any.network": 0o644,
        "chrony/site.sources": 0o644,
        "hostname": 0o644,
    }
    again = CliRunner().invoke(app, ["site", str(file), "--out", str(out)])
    assert "expected an empty or new folder" in str(again.exception)


def test_the_documents_example_and_table_hold(
    made: Callable[[str], dict[str, BoxFile]], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "site.md").read_text(encoding="utf-8")
    (tmp_path / "broker-ca.pem").write_text(PEM)
    example, *_ = re.findall(r"^```yaml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    files = made(example)
    assert b"Address=192.0.2.2/24" in files["network/10-site-00.network"].content
    assert f"{QR_BYTES:,} bytes" in page
    said = set(re.findall(r"^\| `(network\.PORT\.\w+|time\.\w+)`", page, re.MULTILINE))
    ports = {f"network.PORT.{name}" for name in PortConfig.model_fields}
    assert said == ports | {f"time.{name}" for name in TimeConfig.model_fields}


@pytest.mark.parametrize("url", ["clip.mp4", "file:clip.mp4"])
def test_a_video_beside_the_site_file_is_not_there_on_the_box(
    problem: Callable[[str], str], url: str
) -> None:
    said = problem(SITE.partition("cameras:")[0] + f"cameras:\n  yard: {{url: {url}}}\n")
    assert said == (
        "edge-config.yaml:6: cameras.yard.url: expected an absolute path, as it is on the box"
    )
