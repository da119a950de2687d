"""A model of every family, exported, in the daemon: from a camera's video to an event over MQTT."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exported import EXPORTED, Exports

from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

# Every sample alerts: what these models see means nothing, that it arrives does.
PROMPTS = {
    "any": {"text": "a car", "negatives": "a dog", "threshold": -2, "on": {"for": 1, "of": 1}}
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    return write_clip(path, width=320, height=240, fps=10, seconds=6, gop=10)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("family", EXPORTED)
def test_an_exported_model_in_the_daemon_gives_an_event(
    family: str,
    exports: Exports,
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    built = exports.build(family)
    listener = listen(broker.port)
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(
            bundle=str(built.bundle.path),
            mqtt={"host": "127.0.0.1", "port": broker.port, "keepalive": 5},
            prompts=PROMPTS,
            cameras={"yard": {"url": camera.url("yard"), "sample": {"fps": 10}}},
            embeddings={"publish": "all", "every": "0s"},
        )
        eventually(lambda: alerts_of(listener, "start"), "an alert", 40)

        def states() -> Any:
            return [json.loads(payload) for payload in listener.payloads("/yard/state")]

        eventually(lambda: any(state["scores"] for state in states()), "scores in the state")
        assert daemon.terminate() == 0, daemon.log()
    alert = alerts_of(listener, "start")[0]
    assert alert["prompt"] == {"id": "any", "text": "a car"}
    assert alert["model"]["hash"] == built.bundle.hash
    assert alert["model"]["id"] == built.bundle.manifest.model.id
    embeddings = listener.payloads("/embedding")
    assert bool(embeddings) == (family != "grounding_dino"), "a detector has none to publish"
    assert "Traceback" not in daemon.log()


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(500)  # three models are built where no other test has done it
def test_a_detector_puts_boxes_on_alerts_and_a_clip_model_confirms_them(
    exports: Exports,
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    built = {
        family: exports.build(family).bundle for family in ("clip", "xclip_ms", "grounding_dino")
    }
    rules = {
        "boxes": PROMPTS["any"] | {"cooldown": "1h"},
        "clip": PROMPTS["any"] | {"kind": "clip", "cooldown": "1h"},
    }
    listener = listen(broker.port)
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(
            bundle=str(built["clip"].path),
            detector={"bundle": str(built["grounding_dino"].path), "threshold": 0, "cooldown": 0},
            clip={"bundle": str(built["xclip_ms"].path)},
            mqtt={"host": "127.0.0.1", "port": broker.port, "keepalive": 5},
            prompts=rules,
            cameras={"yard": {"url": camera.url("yard"), "sample": {"fps": 10}}},
        )

        def started() -> Any:
            return {alert["prompt"]["id"] for alert in alerts_of(listener, "start")}

        eventually(lambda: "boxes" in started(), "an alert with boxes", 60)
        assert daemon.terminate() == 0, daemon.log()
    alert = next(a for a in alerts_of(listener, "start") if a["prompt"]["id"] == "boxes")
    assert alert["boxes"], daemon.log()
    assert {box["phrase"] for box in alert["boxes"]} == {"a car"}
    assert all(0 <= edge <= 1 for box in alert["boxes"] for edge in box["box"])
    assert "Traceback" not in daemon.log()
