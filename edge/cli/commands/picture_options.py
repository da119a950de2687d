"""Defines the options that say how pictures are to be seen, for streams that say it wrongly."""

from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from edge.config.fields import AspectRatio, QuarterTurn, ratio
from edge.errors import ConfigError
from edge.video.geometry import GeometrySettings

AspectOption = Annotated[
    str | None,
    typer.Option(
        "--aspect", metavar="W:H", help="Shape of the upright picture. [default: the stream's]"
    ),
]
RotateOption = Annotated[
    int | None,
    typer.Option("--rotate", help="Degrees clockwise to turn it. [default: the stream's]"),
]


def geometry_of(aspect: str | None, rotate: int | None) -> GeometrySettings:
    """Return what the options say, in the terms of ``cameras.NAME.aspect`` and ``rotate``.

    Raises:
        ConfigError: An option is invalid.
    """
    shape = None if aspect is None else ratio(_checked("--aspect", AspectRatio, aspect))
    turn = None if rotate is None else _checked("--rotate", QuarterTurn, rotate)
    return GeometrySettings(shape, turn)


def _checked(option: str, kind: Any, value: object) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        problem = exc.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option}: {problem}; found {value!r}") from None
