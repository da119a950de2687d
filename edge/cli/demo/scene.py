"""Names the demo's sentences and writes the daemon's configuration from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge.cli.demo.broker import HOST, PROTOCOL
from edge.config.nodes import yaml_text
from edge.config.starter import plain, rule_names
from edge.errors import ConfigError
from edge.system.trouble import words_of

CONFIG: Final = "edge.yaml"
CAMERA: Final = "street"
DEVICE: Final = "demo"
# A camera's URL may contain a password, so it stays in the environment and out of the file.
URL_VARIABLE: Final = "EDGE_DEMO_URL"

# Sentences for the built-in clip, which shows a taxi, a cyclist and a parked bicycle. It shows no
# dog, so the third sentence must not alert.
CLIP_PROMPTS: Final = ("a taxi", "a bicycle", "a dog")
OTHER_PROMPTS: Final = ("a person", "a vehicle", "an animal")

_MARK = "# Written by `edge demo`"
_HEADER = f"""{_MARK}; docs/config.md explains every key. To use it yourself, put your
# broker in `mqtt` and your camera in `cameras`, then: edge run {CONFIG}
"""


def config_text(
    bundle: Path, url: str, port: int, sentences: Sequence[str], **camera: object
) -> str:
    """Return the text of the configuration file for ``edge run``.

    Args:
        bundle: Folder of the model.
        url: URL of the camera, or a ``${VARIABLE}``.
        port: Port of the broker on this machine.
        sentences: Prompts.
        camera: Further settings of the camera.
    """
    facts: dict[str, Any] = {
        "device": {"id": DEVICE},
        "bundle": str(bundle.absolute()),
        "state_dir": "state",
        "mqtt": {"host": HOST, "port": port, "protocol": PROTOCOL},
        # Every sample is published, so that the plot shows everything that the daemon saw.
        "embeddings": {"publish": "all", "every": "0s"},
        "prompts": {
            name: {"text": plain(sentence)} for name, sentence in rule_names(sentences).items()
        },
        "cameras": {CAMERA: {"url": url, **camera}},
    }
    return _HEADER + yaml_text(facts)


def prepare(out: Path) -> None:
    """Create ``out``, or remove what an earlier demo left there.

    Raises:
        ConfigError: The folder holds other files.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not _is_ours(out / CONFIG):
            raise ConfigError(
                f"{out}: expected a new folder, or one of an earlier demo, found other files; "
                "choose another one with --out"
            )
        leftovers = [*(out / "snapshots").glob("*.jpg"), *(out / "state").glob("outbox*")]
        for leftover in [*leftovers, out / "scores.png"]:
            leftover.unlink(missing_ok=True)
        (out / "snapshots").mkdir(exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{out}: expected a folder that can be written, found: {words_of(exc)}"
        ) from exc


def _is_ours(config: Path) -> bool:
    try:
        return config.read_text(errors="replace").startswith(_MARK)
    except FileNotFoundError:
        return False
