"""The command ``edge init``: writes a first configuration, and asks for what no option says."""

import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from edge.cli.commands.broker_options import PASSWORD_VARIABLE
from edge.config.document import SECRETS
from edge.config.fields import CameraName, ConfigSection
from edge.config.load import checked
from edge.config.models import CameraConfig, DeviceConfig, MqttConfig
from edge.config.prompt import PromptConfig
from edge.config.starter import Starter, starter_files
from edge.config.urls import passwords
from edge.errors import ConfigError
from edge.system import paths
from edge.system.atomic_file import write_atomically
from edge.system.redact import register_secret
from edge.system.trouble import words_of

_SENTENCES: Final = ("a person", "a car")
_TLS_PORT: Final = 8883
_CAMERA: Final = "camera-1"
_NAMED: Final = re.compile(r"(?P<name>[^=:/?]+)=(?P<url>.*)", re.DOTALL)
_ADDRESS: Final = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)

_Part = TypeVar("_Part")


class _Watched(ConfigSection):
    cameras: dict[CameraName, CameraConfig]


def init(  # noqa: PLR0913  what a first configuration is made of
    file: Annotated[Path, typer.Argument(help="Configuration to write.")] = Path("edge.yaml"),
    device: Annotated[
        str | None, typer.Option(help="Name of this box. [default: the machine's]")
    ] = None,
    broker: Annotated[str | None, typer.Option(help="HOST or HOST:PORT of the broker.")] = None,
    username: Annotated[str | None, typer.Option(help="User at the broker.")] = None,
    ca: Annotated[
        Path | None, typer.Option(help="Certificate authority of the broker; switches TLS on.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="URL or file of the first camera, or NAME=URL.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Sentence of a rule; once for each rule.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the model. [default: the user's own]")
    ] = None,
    *,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt, as --ca and the port 8883 do too.")
    ] = False,
) -> None:
    """Write a commented edge.yaml with one camera and two rules, to begin with.

    On a terminal it asks for what no option says. The broker's password comes from the variable
    EDGE_MQTT_PASSWORD. Passwords go to secrets.yaml beside the file, which only you can read.

    Examples: `edge init`,
    `edge init --broker broker.example:8883 --camera yard=rtsp://192.0.2.10/stream2`
    """
    _require_new(file)
    asker = _Asker()
    box = asker.part("--device", "Name of this box", device, _device, _machine())
    address = asker.part("--broker", "Broker (HOST or HOST:PORT)", broker, _address)
    mqtt = _mqtt(asker, address, username, ca, tls=tls)
    name, watched = asker.part("--camera", "Camera (URL or NAME=URL)", camera, _camera)
    sentences = [
        asker.part("--rule", "Rule: what is to be seen", said, _sentence, default)
        for said, default in _rules(rule)
    ]
    model = (bundle or paths.default_bundle()).absolute()
    settings, secrets = starter_files(
        Starter(box, model, mqtt, name, watched, sentences), file.name
    )
    _write(file, settings, secrets)
    build = "" if model.exists() else "edge-export default; "
    typer.echo(f"next: {build}edge check {file}", err=True)


class _Asker:
    """Asks on a terminal for what no option says."""

    def __init__(self) -> None:
        self.terminal: Final = sys.stdin.isatty()

    def part(
        self,
        option: str,
        question: str,
        said: str | None,
        read: Callable[[str], _Part],
        default: str | None = None,
    ) -> _Part:
        """Return what an option says, or else an answer; ask again until the answer can be read.

        Raises:
            ConfigError: The option is wrong, or is missing where nobody can be asked.
        """
        if said is None and not self.terminal:
            said = default
        if said is not None:
            try:
                return read(said)
            except ConfigError as exc:
                raise ConfigError(f"{option}: {exc}") from exc
        if not self.terminal:
            raise ConfigError(f"expected {option}, as there is no terminal to ask on")

        def answered(text: str) -> _Part:
            try:
                return read(text)
            except ConfigError as exc:
                raise typer.BadParameter(str(exc)) from exc

        answer: _Part = typer.prompt(question, default=default, value_proc=answered, err=True)
        return answer


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", socket.gethostname())[:64].strip("-._") or "box-1"


def _device(text: str) -> DeviceConfig:
    return checked(DeviceConfig, {"id": text.strip()}, ("device",))


def _address(text: str) -> dict[str, Any]:
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ConfigError("expected HOST or HOST:PORT")
    values: dict[str, Any] = {"host": match["host"].strip("[]")}
    if match["port"] is not None:
        values["port"] = int(match["port"]) if match["port"].isdecimal() else match["port"]
    checked(MqttConfig, values, ("mqtt",))
    return values


def _mqtt(
    asker: _Asker, address: dict[str, Any], username: str | None, ca: Path | None, *, tls: bool
) -> MqttConfig:
    values = dict(address)
    if tls or ca is not None or values.get("port") == _TLS_PORT:
        values = {"port": _TLS_PORT, **values}
        values["tls"] = {} if ca is None else {"ca": str(ca.absolute())}
    user = asker.part("--username", "User at the broker (none: Enter)", username, str.strip, "")
    if user:
        values["username"] = user
    password = os.environ.get(PASSWORD_VARIABLE, "")
    if user and not password and asker.terminal:
        password = typer.prompt(
            "Password", default="", hide_input=True, show_default=False, err=True
        )
    if password:
        register_secret(password)
        values["password"] = password
    return checked(MqttConfig, values, ("mqtt",))


def _camera(text: str) -> tuple[str, CameraConfig]:
    for secret in passwords(text):
        register_secret(secret)
    match = _NAMED.fullmatch(text.strip())
    name, url = (match["name"], match["url"]) if match else (_CAMERA, text.strip())
    if url and "://" not in url and not url.startswith("file:"):
        url = str(Path(url).absolute())
    watched = checked(_Watched, {"cameras": {name: {"url": url}}})
    return name, watched.cameras[name]


def _sentence(text: str) -> str:
    checked(PromptConfig, {"text": text}, ("prompts", "rule"))
    return text.strip()


def _rules(said: Sequence[str] | None) -> list[tuple[str | None, str]]:
    """What the options say, or else what is asked for, with its default."""
    if said:
        return [(sentence, "") for sentence in said]
    return [(None, sentence) for sentence in _SENTENCES]


def _require_new(file: Path) -> None:
    if file.exists():
        raise ConfigError(f"expected a new file, found {file}: choose another name, or edit it")


def _write(file: Path, settings: str, secrets: str | None) -> None:
    secret = file.with_name(SECRETS)
    if secrets is not None:
        _require_new(secret)
    try:
        if secrets is not None:
            write_atomically(secret, secrets.encode(), mode=0o600)
        write_atomically(file, settings.encode(), mode=0o644)
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {words_of(exc)}") from exc
    typer.echo(
        f"{file}: written" + ("" if secrets is None else f", with its passwords in {secret}")
    )
