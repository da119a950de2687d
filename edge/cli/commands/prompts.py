"""The command ``edge prompts``: shows and changes over MQTT what boxes look for."""

import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from edge.cli.commands.broker_options import (
    CaOption,
    ConfigOption,
    HostOption,
    PortOption,
    PrefixOption,
    UsernameOption,
    broker_of,
)
from edge.cli.shown import hours_shown, in_force_shown, json_line, prompts_shown
from edge.config.document import read_document
from edge.config.fields import RESERVED
from edge.config.load import checked, load_config
from edge.config.models import MqttConfig
from edge.control.commands import DesiredPrompts
from edge.delivery.client import ask, subscribe
from edge.delivery.payloads import PromptsStatePayload, StatePayload
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError
from edge.system.command_line import Group
from edge.system.visible import printable

# Retained messages arrive at once; the command does not wait for a box that is slow to connect.
_LOOK_S = 3.0

prompts = typer.Typer(
    cls=Group, no_args_is_help=True, help="See and change over MQTT what boxes look for."
)

Rule = Annotated[str, typer.Argument(help="Name of a prompt.")]


class Rating(StrEnum):
    """Feedback on an alert."""

    good = "good"
    bad = "bad"


class Switch(StrEnum):
    """A setting that is on or off."""

    on = "on"
    off = "off"


@dataclass(frozen=True, slots=True)
class _Boxes:
    """Broker of the boxes, and the box that the command is for; None means any box."""

    broker: MqttConfig
    device: str | None

    @property
    def topics(self) -> Topics:
        if self.device is None:
            raise ConfigError("expected the name of a box, found none: give --device or --config")
        return Topics(self.broker.topic_prefix, self.device)


@prompts.callback()
def options(
    context: typer.Context,
    config: ConfigOption = None,
    device: Annotated[
        str | None, typer.Option(help="The box's device.id. [default: that of --config]")
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    username: UsernameOption = None,
    ca: CaOption = None,
    prefix: PrefixOption = None,
) -> None:
    """See and change over MQTT what boxes look for.

    Examples: `edge prompts --config edge.yaml show`,
    `edge prompts --host broker.example --device nvr-01 set rules.yaml`

    Options count before --config. The password of --username, if any, comes from the variable
    EDGE_MQTT_PASSWORD.
    """
    configured = None
    if config is not None:
        settings = load_config(config)
        configured, device = settings.mqtt, device or settings.device.id
    broker = broker_of(configured, host=host, port=port, username=username, ca=ca, prefix=prefix)
    context.obj = _Boxes(broker, device)


@prompts.command()
def show(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON payload per line.")] = False,
) -> None:
    """Print which rules are in force: of one box, or of all on the broker."""
    boxes: _Boxes = context.obj
    topics = Topics(boxes.broker.topic_prefix, boxes.device or "+")
    found = False
    for received in subscribe(boxes.broker, [topics.in_force("prompts")], timeout_s=_LOOK_S):
        try:
            state = PromptsStatePayload.model_validate_json(received.payload)
        except ValidationError:
            typer.echo(f"not a prompts state on {printable(received.topic)}, ignored", err=True)
            continue
        found = True
        if as_json:
            typer.echo(json_line(received.payload))
        else:
            Console(highlight=False).print(*prompts_shown(state), sep="\n")
        if boxes.device is not None:
            return
    if not found:
        raise PublishError(f"no box has published its prompts on {topics.in_force('prompts')}")


@prompts.command()
def hours(context: typer.Context) -> None:
    """Print how many false alarms are expected in each hour of the day, by camera and rule."""
    boxes: _Boxes = context.obj
    states = Topics(boxes.broker.topic_prefix, boxes.device or "+").state("+")
    found: dict[str, StatePayload] = {}
    for received in subscribe(boxes.broker, [states], timeout_s=_LOOK_S):
        if received.topic.split("/")[2] in RESERVED:
            continue  # the box's own: its rules, its profile
        try:
            found[received.topic] = StatePayload.model_validate_json(received.payload)
        except ValidationError:
            typer.echo(f"not a camera's state on {printable(received.topic)}, ignored", err=True)
    if not found:
        raise PublishError(f"no box has published the state of a camera on {states}")
    table = hours_shown(found[topic] for topic in sorted(found))
    if not table.row_count:
        _say("no threshold is learned yet: a rule needs some hours of watching first")
        return
    Console(highlight=False).print(table)


@prompts.command("set")
def set_prompts(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="YAML with a section prompts, as in edge.yaml.")],
    *,
    alone: Annotated[
        bool, typer.Option("--alone", help="In place of the box's own rules, not beside them.")
    ] = False,
) -> None:
    """Send a box its rules; the box keeps them, and so does the broker."""
    boxes: _Boxes = context.obj
    document = read_document(file, os.environ)
    if document.problems:
        line, text = document.problems[0]
        raise ConfigError(f"{file}:{line}: {text}")
    rules = document.values.get("prompts") if isinstance(document.values, dict) else None
    said = {"schema": "edge-prompts/1", "prompts": rules, "base": "none" if alone else "file"}
    checked(DesiredPrompts, said)
    payload = json.dumps(said, ensure_ascii=False).encode()
    _tell(ask(boxes.broker, boxes.topics, ("prompts",), payload, retain=True), boxes.topics)


@prompts.command()
def reset(context: typer.Context) -> None:
    """Return to the rules of the box's own configuration."""
    boxes: _Boxes = context.obj
    _tell(ask(boxes.broker, boxes.topics, ("prompts",), b"", retain=True), boxes.topics)


@prompts.command("test")
def try_alert(context: typer.Context, rule: Rule) -> None:
    """Have a box send a test alert of a rule, on each camera that it watches."""
    boxes: _Boxes = context.obj
    state = ask(boxes.broker, boxes.topics, ("prompt", rule, "test"), b"")
    cameras = () if state is None else state.cameras.get(rule, ())
    where = f" on {', '.join(cameras)}" if cameras else ""
    _say(f"{boxes.topics.device} sends a test alert of {rule}{where}")


@prompts.command()
def profile(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of a profile.")]
) -> None:
    """Switch a box to another profile; the box keeps it, and so does the broker."""
    boxes: _Boxes = context.obj
    _tell(ask(boxes.broker, boxes.topics, ("profile",), name.encode(), retain=True), boxes.topics)


@prompts.command()
def feedback(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(help="Id of the alert.")],
    verdict: Annotated[Rating, typer.Argument(help="good: it was right; bad: a false alarm.")],
) -> None:
    """Say whether an alert was right."""
    boxes: _Boxes = context.obj
    said = {"schema": "edge-feedback/1", "alert": alert, "correct": verdict is Rating.good}
    ask(boxes.broker, boxes.topics, ("feedback",), json.dumps(said).encode())
    word = "right" if verdict is Rating.good else "a false alarm"
    _say(f"{boxes.topics.device} counts {alert} as {word}")


@prompts.command()
def sharpen(
    context: typer.Context,
    rule: Rule,
    switch: Annotated[Switch, typer.Argument(help="off: as if there were no feedback.")],
) -> None:
    """Let a rule use the feedback on its alerts, or ignore the feedback until it is on again."""
    boxes: _Boxes = context.obj
    payload = switch.upper().encode()
    state = ask(boxes.broker, boxes.topics, ("prompt", rule, "sharpened"), payload)
    if switch is Switch.off:
        _say(f"{rule} ignores its feedback")
    elif state is not None and rule in state.lessons:
        _say(f"{rule} was taught by {state.lessons[rule].describe()}")
    else:
        _say(f"{rule} uses its feedback, once there is enough of it")


def _tell(state: PromptsStatePayload | None, topics: Topics) -> None:
    """Print what is in force after a command."""
    if state is None:
        _say(f"{topics.device} has done it; {topics.in_force('prompts')} cannot be read")
        return
    for line in in_force_shown(state):
        Console(highlight=False).print(line, soft_wrap=True)


def _say(text: str) -> None:
    typer.echo(printable(text))
