"""The daemon as a process, as users run it; everything it says is heard over MQTT."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_broker import Listen, MakeBroker, Tell
from patience import Eventually
from running_box import Box, Daemons, MakeBox
from tiny_bundle import tiny_bundle

from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip


@pytest.fixture
def run_daemon(tmp_path: Path) -> Iterator[Daemons]:
    """Start daemons; the keys given are laid over a configuration that works."""
    daemons = Daemons(tmp_path)
    yield daemons
    for daemon in daemons.started:
        daemon.kill()


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of a few kilobytes: it opens in no time and means nothing."""
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    tiny_bundle(path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    return write_clip(path, width=320, height=240, fps=10, seconds=3, gop=10)


@pytest.fixture
def make_box(
    small_bundle: Path,
    clip: Path,
    make_broker: MakeBroker,
    run_daemon: Daemons,
    listen: Listen,
    tell: Tell,
    eventually: Eventually,
) -> Iterator[MakeBox]:
    shown = Clip.read(clip)
    with TestCamera({"yard": shown, "gate": shown}) as camera:
        yield lambda *options: Box(
            small_bundle, camera, make_broker(*options), run_daemon, eventually, listen, tell
        )


@pytest.fixture
def box(make_box: MakeBox) -> Box:
    """A box that can reach its broker, which is listened to; its daemon is not started."""
    return make_box().connect()
