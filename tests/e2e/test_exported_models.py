"""A model of every family, exported, in the daemon: from a camera's video to an event over MQTT."""

import pytest
from exported import EXPORTED, Exports
from running_box import Box

# Every sample alerts: what these models see means nothing, that it arrives does.
PROMPTS = {
    "any": {"text": "a car", "negatives": "a dog", "threshold": -2, "on": {"for": 1, "of": 1}}
}


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("family", EXPORTED)
def test_an_exported_model_in_the_daemon_gives_an_event(
    family: str,
    exports: Exports,
    box: Box,
) -> None:
    built = exports.build(family)
    daemon = box.start(
        bundle=str(built.bundle.path),
        prompts=PROMPTS,
        embeddings={"publish": "all", "every": "0s"},
    )
    box.eventually(lambda: box.alerts("start"), "an alert", 40)
    box.eventually(
        lambda: any(state["scores"] for state in box.states("yard/state")), "scores in the state"
    )
    assert daemon.terminate() == 0, daemon.log()
    alert = box.alerts("start")[0]
    assert alert["prompt"] == {"id": "any", "text": "a car"}
    assert alert["model"]["hash"] == built.bundle.hash
    assert alert["model"]["id"] == built.bundle.manifest.model.id
    embeddings = box.heard("yard/embedding")
    assert bool(embeddings) == (family != "grounding_dino"), "a detector has none to publish"
    assert "Traceback" not in daemon.log()


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(500)  # three models are built where no other test has done it
def test_a_detector_puts_boxes_on_alerts_and_a_clip_model_confirms_them(
    exports: Exports, box: Box
) -> None:
    built = {
        family: exports.build(family).bundle for family in ("clip", "xclip_ms", "grounding_dino")
    }
    rules = {
        "boxes": PROMPTS["any"] | {"cooldown": "1h"},
        "clip": PROMPTS["any"] | {"kind": "clip", "cooldown": "1h"},
    }
    daemon = box.start(
        bundle=str(built["clip"].path),
        detector={"bundle": str(built["grounding_dino"].path), "threshold": 0, "cooldown": 0},
        clip={"bundle": str(built["xclip_ms"].path)},
        prompts=rules,
    )

    def started() -> set[str]:
        return {alert["prompt"]["id"] for alert in box.alerts("start")}

    box.eventually(lambda: "boxes" in started(), "an alert with boxes", 60)
    assert daemon.terminate() == 0, daemon.log()
    alert = next(a for a in box.alerts("start") if a["prompt"]["id"] == "boxes")
    assert alert["boxes"], daemon.log()
    assert {found["phrase"] for found in alert["boxes"]} == {"a car"}
    assert all(0 <= edge <= 1 for found in alert["boxes"] for edge in found["box"])
    assert "Traceback" not in daemon.log()
