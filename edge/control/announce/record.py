"""Keeps which retained messages lie at which broker, in one JSON file.

``edge.control.announce.retained`` decides what is written there, and when.
"""

import logging
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.config.models import Config
from edge.delivery.topics import Topics
from edge.errors import SideFileError
from edge.system.atomic_file import write_atomically
from edge.system.set_aside import set_aside
from edge.system.trouble import ADVICE, in_trouble, read_if_there, trouble_of_json

logger = logging.getLogger(__name__)

RETAINED: Final = "retained.json"
"""Name of the file in the daemon's ``state_dir``."""

_SCHEMA: Final = "edge-retained/1"


class Place(NamedTuple):
    """A broker, and the name of the box there: the first two levels of its topics."""

    broker: str
    prefix: str
    device: str

    @classmethod
    def of(cls, config: Config) -> "Place":
        """Return the place of a box with this configuration."""
        mqtt = config.mqtt
        return cls(f"{mqtt.host}:{mqtt.port}", mqtt.topic_prefix, config.device.id)

    @property
    def status(self) -> str:
        """Topic of the status of the box."""
        return Topics(self.prefix, self.device).status()

    def is_named_as(self, other: "Place") -> bool:
        """Whether the box has the same topics there."""
        return self[1:] == other[1:]


class Left(BaseModel):
    """What a box left at one place.

    Attributes:
        place: Broker, and name of the box there.
        topics: Topics of its retained messages.
        components: Platform of each entity that exists or existed there, by key.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    place: Place
    topics: frozenset[str] = frozenset()
    components: dict[str, str] = {}


class RetainedRecord(BaseModel):
    """Content of the file.

    Attributes:
        left: What lies at each place, the present one last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_: Literal["edge-retained/1"] = _SCHEMA  # files from before have none
    left: tuple[Left, ...] = ()


def former_statuses(path: Path, place: Place) -> list[str]:
    """Return the status topics of earlier names of the box at ``place``."""
    try:
        record = load_record(path)
    except SideFileError:  # it is reported by ``Retained.flush``
        return []
    return sorted({left.place.status for left in record.left if not left.place.is_named_as(place)})


def check_record(path: Path) -> None:
    """Look whether the file can be used, and change nothing.

    Raises:
        SideFileError: It cannot be read now, is of a newer version, or damaged.
    """
    try:
        _read(path)
    except OSError as exc:
        raise _failed(path, exc) from exc
    except ValidationError as exc:
        reason = str(exc).partition("\n")[0]
        raise SideFileError(f"{path}: {reason}; {ADVICE['damaged']}", "damaged") from exc


def write_record(path: Path, record: RetainedRecord) -> None:
    """Replace the file.

    Raises:
        SideFileError: The disk refuses it.
    """
    try:
        write_atomically(path, record.model_dump_json().encode())
    except OSError as exc:
        raise _failed(path, exc) from exc


def load_record(path: Path) -> RetainedRecord:
    """Read the file. What is damaged is set aside.

    Raises:
        SideFileError: It cannot be read now.
    """
    try:
        try:
            return _read(path)
        except ValidationError as exc:
            logger.warning(
                "%s: %s; set aside as %s, and begun anew: 'edge retire' removes what is left",
                path, str(exc).partition("\n")[0], set_aside(path).name,
            )  # fmt: skip
            return RetainedRecord()
    except OSError as exc:
        raise _failed(path, exc) from exc


def _read(path: Path) -> RetainedRecord:
    content = read_if_there(path)
    if content is None:
        return RetainedRecord()
    try:
        return RetainedRecord.model_validate_json(content)
    except ValidationError as exc:
        if trouble_of_json(content, "schema_", _SCHEMA) != "newer":
            raise
        raise SideFileError(
            f"{path} was written by a newer version; old messages may stay at the broker; "
            f"{ADVICE['newer']}",
            "newer",
        ) from exc


def _failed(path: Path, error: OSError) -> SideFileError:
    return in_trouble(path, error, meanwhile="old messages may stay at the broker")
