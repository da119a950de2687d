"""Builds the configuration of a bench: one camera, and as many messages as a frame can cause."""

from pathlib import Path

from pydantic import ValidationError

from benchmarks.measuring.broker import Address
from edge.config.models import Config, EngineConfig
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle

CAMERA = "bench"


def bench_config(
    bundle: Bundle,
    url: str,
    fps: float,
    prompts: tuple[str, ...],
    engine: EngineConfig,
    broker: Address | None,
    state_dir: Path,
) -> Config:
    """Return a configuration for ``url``: every frame alerts and every embedding is published.

    Args:
        bundle: Bundle of the model.
        url: File or camera.
        fps: Samples per second.
        prompts: Sentences; each one is a rule.
        engine: Engine, device, precision and threads.
        broker: Broker of the configuration; None for an address that nothing connects to.
        state_dir: Folder of the outbox.

    Raises:
        ConfigError: A prompt or the URL is wrong.
    """
    # No margin is below -2, and a running alert publishes an update with each frame.
    always = {"threshold": -2, "on": {"for": 1, "of": 1}, "update_every": 1e-6}
    listens = broker or Address("localhost", 1883, "none")
    try:
        return Config.model_validate(
            {
                "device": {"id": "bench"},
                "bundle": bundle.path,
                "state_dir": state_dir.absolute(),
                "engine": engine.model_dump(),
                "mqtt": {"host": listens.host, "port": listens.port},
                "embeddings": {"publish": "all", "every": 0},
                "prompts": {
                    f"prompt{number}": {"text": text, **always}
                    for number, text in enumerate(prompts, 1)
                },
                "cameras": {CAMERA: {"url": url, "sample": {"fps": fps}, "loop": True}},
            }
        )
    except ValidationError as exc:
        problems = (f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise ConfigError("; ".join(problems)) from None  # the cause may contain a password
