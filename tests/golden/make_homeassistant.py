"""Makes ``homeassistant.json``: what Home Assistant's MQTT discovery takes, from its own schemas.

To be run where the package ``homeassistant`` is installed (2025.4.4 needs Python 3.13), which is
not where our tests run::

    python tests/golden/make_homeassistant.py > tests/golden/homeassistant.json
"""

import asyncio
import importlib
import json
import sys
import tempfile
from typing import Any

import voluptuous as vol
from homeassistant.components.mqtt import abbreviations, schemas
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame

PLATFORMS = ("binary_sensor", "button", "image", "number", "select", "sensor", "switch", "text")


def table(schema: vol.Schema | vol.All) -> dict[str, list[str]]:
    while isinstance(schema, vol.All):
        schema = schema.validators[0]
    keys = schema.schema
    return {
        "takes": sorted({str(key) for key in keys}),
        "needs": sorted({str(key) for key in keys if isinstance(key, vol.Required)}),
    }


def component(platform: str) -> Any:
    return importlib.import_module(f"homeassistant.components.mqtt.{platform}").DISCOVERY_SCHEMA


async def main() -> None:
    frame.async_setup(HomeAssistant(tempfile.mkdtemp()))
    golden = {
        "source": "schemas of the package homeassistant, licence Apache-2.0",
        "version": __version__,
        "device": table(schemas.DEVICE_DISCOVERY_SCHEMA),
        "platforms": {platform: table(component(platform)) for platform in PLATFORMS},
        "abbreviations": abbreviations.ABBREVIATIONS,
        "device_abbreviations": abbreviations.DEVICE_ABBREVIATIONS,
        "origin_abbreviations": abbreviations.ORIGIN_ABBREVIATIONS,
    }
    json.dump(golden, sys.stdout, indent=1, sort_keys=True)


asyncio.run(main())
