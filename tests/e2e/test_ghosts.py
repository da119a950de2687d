"""What a box left at the broker under a name that it no longer has, in the daemon as it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.delivery.client import subscribe
from edge.testing.synthetic import write_clip


def kept(broker: Any) -> set[str]:
    """Topics of which the broker keeps a message."""
    found = subscribe(broker.config(), ["#"], timeout_s=0.5)
    return {one.topic for one in found if one.retain}


def test_a_box_that_is_renamed_leaves_nothing_under_its_earlier_names(
    small_bundle: Path,
    tmp_path: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    eventually: Callable[..., Any],
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", width=320, height=240, fps=10, seconds=3, gop=10)
    same = {
        "bundle": str(small_bundle),
        "prompts": {"red": {"text": "red", "negatives": "blue"}},
        "cameras": {"yard": {"url": str(clip), "loop": True}},
        "homeassistant": {"discovery": True},
    }
    names = (("edge", "box"), ("home", "box2"))
    for prefix, device in names:
        daemon = run_daemon(
            device={"id": device},
            mqtt={"host": "127.0.0.1", "port": broker.port, "topic_prefix": prefix},
            **same,
        )
        own = f"{prefix}/{device}/"
        described = f"homeassistant/device/{prefix}_{device}/config"

        def only_its_own(own: str = own, described: str = described) -> bool:
            topics = kept(broker)
            here = {f"{own}yard/state", f"{own}prompts/state", described} <= topics
            return here and all(one == described or one.startswith(own) for one in topics)

        eventually(only_its_own, f"nothing but what {own} has")
        assert daemon.terminate() == 0
