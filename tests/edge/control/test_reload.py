"""Reading the configuration again: who is asked, what changes, what waits for a restart."""

from typing import Any

import pytest

from edge.config.models import Config
from edge.control.reload import Reload, live_part, waiting_for_restart

SETTINGS: dict[str, Any] = {
    "device": {"id": "box"},
    "bundle": "b",
    "mqtt": {"host": "h"},
    "prompts": {"cat": {"text": "a cat"}},
    "cameras": {"yard": {"url": "file:a.mp4"}},
}


def config(**sections: Any) -> Config:
    return Config.model_validate(SETTINGS | sections)


def test_a_wish_before_anybody_listens_is_not_lost() -> None:
    heard: list[int] = []
    reload = Reload(config)
    reload.ask()
    reload.listen(lambda: heard.append(1))
    assert heard == [1]
    reload.ask()
    assert heard == [1, 1]


def test_without_a_wish_nobody_is_called() -> None:
    heard: list[int] = []
    Reload(config).listen(lambda: heard.append(1))
    assert heard == []


@pytest.mark.parametrize(
    ("sections", "waiting"),
    [
        ({}, None),
        ({"prompts": {"dog": {"text": "a dog"}}, "profile": "away"}, None),
        ({"cameras": {"gate": {"url": "file:b.mp4"}}}, None),
        ({"mqtt": {"host": "i", "port": 8883}}, "mqtt.host, mqtt.port"),
        ({"clip": {"bundle": "c"}, "background": ["an empty yard"]}, "clip, background"),
        ({"device": {"id": "other"}, "profile": "away"}, "device.id"),
    ],
)
def test_what_waits_for_a_restart_is_named(sections: dict[str, Any], waiting: str | None) -> None:
    running, file = config(), config(**sections)
    words = waiting_for_restart(running, file)
    assert (words or "").rpartition(": ")[2] == (waiting or "")
    now = live_part(running, file)
    assert (now.prompts, now.cameras, now.profile) == (file.prompts, file.cameras, file.profile)
    assert (now.mqtt, now.device, now.clip) == (running.mqtt, running.device, running.clip)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"prompts": ["cat"], "zones": {"gate": [[0, 0], [1, 0], [1, 1]]}}, True),
        ({"url": "file:b.mp4"}, False),
        ({"sample": {"fps": 5}}, False),
        ({"rotate": 90}, False),
    ],
)
def test_rules_and_zones_do_not_touch_the_stream(change: dict[str, Any], *, same: bool) -> None:
    before = config().cameras["yard"]
    after = config(cameras={"yard": {"url": "file:a.mp4"} | change}).cameras["yard"]
    assert before.same_stream(after) is same
