"""What a box left at the broker under a name that it no longer has, in the daemon as it runs."""

from live_broker import Broker
from running_box import Box

from edge.delivery.client import subscribe


def kept(broker: Broker) -> set[str]:
    """Topics of which the broker keeps a message."""
    found = subscribe(broker.config(), ["#"], timeout_s=0.5)
    return {one.topic for one in found if one.retain}


def test_a_box_that_is_renamed_leaves_nothing_under_its_earlier_names(
    box: Box,
) -> None:
    names = (("edge", "box"), ("home", "box2"))
    for prefix, device in names:
        daemon = box.start(
            device={"id": device},
            mqtt=box.mqtt(topic_prefix=prefix),
            homeassistant={"discovery": True},
        )
        own = f"{prefix}/{device}/"
        described = f"homeassistant/device/{prefix}_{device}/config"

        def only_its_own(own: str = own, described: str = described) -> bool:
            topics = kept(box.broker)
            here = {f"{own}yard/state", f"{own}prompts/state", described} <= topics
            return here and all(one == described or one.startswith(own) for one in topics)

        box.eventually(only_its_own, f"nothing but what {own} has")
        assert daemon.terminate() == 0
