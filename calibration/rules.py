"""Selects the rules that watch a clip: those of a configuration, or one for each sentence."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from calibration.labels import Label
from edge.config.models import Config
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError

CAMERA: Final = "clip"
"""Name of the only camera of a replay."""


def rules_of(labels: Iterable[Label], prompts: Mapping[str, PromptConfig]) -> dict[str, str]:
    """Return the rule that each labelled prompt means, by its name or by one of its sentences.

    Prompts that no rule has are left out.
    """
    by_words = {text: name for name, prompt in prompts.items() for text in prompt.text}
    by_words.update({name: name for name in prompts})
    words = dict.fromkeys(label.prompt for label in labels)
    return {word: by_words[word] for word in words if word in by_words}


def config_of(sentences: Iterable[str], bundle: Path, **rule: Any) -> Config:
    """Return a configuration with a rule for each sentence, named by its words."""
    prompts: dict[str, dict[str, Any]] = {}
    for sentence in sentences:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", sentence).strip("-")[:60] or "prompt"
        name = slug if slug not in prompts else f"{slug[:56]}-{len(prompts)}"
        prompts[name] = {"text": sentence, **rule}
    if not prompts:
        raise ConfigError("expected at least one prompt, found none")
    return Config.model_validate({
        "device": {"id": "replay"},
        "bundle": str(bundle.absolute()),
        "mqtt": {"host": "replay"},
        "prompts": prompts,
        "cameras": {CAMERA: {"url": "file:clip"}},
    })  # fmt: skip


def alone(config: Config, rule: str, fps: float) -> Config:
    """Return the configuration with one rule and one camera, which publishes only alerts.

    A recording has no time of day and no profile, so the rule is always on.
    """
    camera = next(iter(config.cameras.values()))
    always = {"enabled": True, "schedule": (), "when": None, "profiles": ()}
    return config.model_copy(
        update={
            "prompts": {rule: config.prompts[rule].model_copy(update=always)},
            "cameras": {
                CAMERA: camera.model_copy(
                    update={
                        "prompts": None,
                        "sample": camera.sample.model_copy(update={"fps": fps}),
                    }
                )
            },
            "embeddings": config.embeddings.model_copy(update={"publish": "off"}),
            "snapshots": config.snapshots.model_copy(update={"publish": False}),
        }
    )
