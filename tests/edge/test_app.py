"""The loop: what it does when a part of it is in trouble."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from daemon_parts import ALERT, TOPICS, Line, Proof, Quiet, no_rules
from live_broker import Broker, Listen, Listener
from numpy.typing import NDArray
from patience import Eventually

from edge.app import Daemon, Periods
from edge.config.models import Config
from edge.control.orders import Adopt, Orders
from edge.daemon.crew import Crew
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import AlertMessage, AlertPayload, alert_message
from edge.delivery.publisher import Publisher
from edge.errors import OutboxError, SideFileError
from edge.model.bundle.manifest import ImageSpec
from edge.resources import Resources
from edge.system import systemd
from edge.system.backoff import BROKER, Backoff
from edge.system.ending import Stop
from edge.system.health import SOCKET, HealthSocket, ask
from edge.system.keeper import Keeper
from edge.system.workers import WorkerGroup
from edge.video.sample import Arrival, Sample
from edge.video.worker import CameraHealth, Edges

SOON = replace(BROKER, unreachable=Backoff(first_s=0.05, cap_s=0.2, shortest_share=0.5))
STREAMING = CameraHealth("streaming", 25.0, 2.0, 1, 0, 0, 0, 1_750_000_000.0, None)


class Camera:
    """A worker that hands out what the test put into it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples: list[Sample] = []
        self.now = STREAMING
        self.failed = False

    def start(self) -> None:
        pass

    def take(self) -> Sample | None:
        return self.samples.pop() if self.samples else None

    def health(self) -> CameraHealth:
        return self.now

    def snapshot(self, sequence: int, max_width: int | None = None) -> bytes | None:
        return None

    def pixels(
        self, sequence: int, spec: ImageSpec, box: Edges | None = None
    ) -> NDArray[np.int8] | None:
        return None

    def stop(self, timeout_s: float) -> bool:
        return True


@pytest.fixture
def models(request: pytest.FixtureRequest) -> Proof:
    proof = Proof()
    proof.failed = getattr(request, "param", None)
    return proof


@pytest.fixture
def rollout() -> Quiet:
    return Quiet()


class Page:
    """A side file that is in trouble while ``trouble`` is set."""

    name = "feedback.db"
    trouble: str | None = None

    def flush(self) -> None:
        if self.trouble:
            raise SideFileError(f"feedback.db: {self.trouble}", self.trouble)


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


@pytest.fixture
def orders(wake: threading.Event) -> Orders:
    return Orders(wake.set)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def periods() -> Periods:
    return Periods()


class GiveSample(Protocol):
    def __call__(self, mark: int = 0) -> None: ...


# The camera, the outbox, a listener at the broker, and a function that gives the camera a sample.
Served = tuple[Camera, Outbox, Listener, GiveSample]


@pytest.fixture
def serve(
    tmp_path: Path,
    broker: Broker,
    listen: Listen,
    eventually: Eventually,
    models: Proof,
    periods: Periods,
    rollout: Quiet,
    page: Page,
    wake: threading.Event,
    orders: Orders,
) -> Iterator[Callable[[], Served]]:
    """Run a daemon around one camera, a real outbox, a real publisher and a real broker."""
    config = Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": "unused",
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "prompts": {"cat": {"text": "a cat"}},
            "cameras": {"yard": {"url": "file:unused.mp4"}},
        }
    )
    camera = Camera("yard")
    stop = Stop()
    with contextlib.ExitStack() as stack:
        outbox = stack.enter_context(contextlib.closing(Outbox(tmp_path / "outbox.db", 1 << 20)))
        publisher = Publisher(config.mqtt, "box", outbox, retry=SOON)
        daemon = Daemon(
            config,
            Resources(
                TOPICS,
                {"yard": camera},
                models,
                Line(),
                outbox,
                publisher,
                rollout,
                orders,
                lambda *_: camera,
                keeper=Keeper([page], period_s=0.05),
                health=stack.enter_context(contextlib.closing(HealthSocket(tmp_path / SOCKET))),
            ),
            periods=periods,
            retry=Backoff(first_s=0.5, cap_s=0.5, shortest_share=1.0),
        )
        thread = threading.Thread(target=daemon.serve, args=(stop, wake))

        def end() -> None:
            stop.set()
            wake.set()
            thread.join(10)
            assert not thread.is_alive()

        stack.callback(end)
        listener = listen(broker.port)

        def sample(mark: int = 0) -> None:
            at = Arrival(wall=1_750_000_000.0, monotonic=0.0, pts_s=None)
            camera.samples.append(Sample("yard", 0, at, np.full((3, 2, 2), mark, np.int8)))
            wake.set()

        def start() -> Served:
            thread.start()
            eventually(lambda: listener.payloads("/status"), "a status")
            return camera, outbox, listener, sample

        yield start


def alerts(listener: Listener) -> list[bytes]:
    return listener.payloads("/alert")


def test_without_a_disk_alerts_go_out_from_memory(
    serve: Callable[[], Served],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _camera, outbox, listener, sample = serve()

    def full(_messages: list[AlertMessage]) -> None:
        raise OutboxError("the disk is full")

    monkeypatch.setattr(outbox, "put", full)
    sample()
    eventually(lambda: alerts(listener), "the alert")
    eventually(lambda: b"degraded" in listener.payloads("/status"), "degraded")
    assert "the disk is full; alerts go out from memory" in caplog.text
    monkeypatch.undo()
    sample()
    eventually(lambda: len(alerts(listener)) == 2, "the next alert")
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online again")


@pytest.mark.parametrize("periods", [Periods(tick_s=0.1)])
def test_a_side_file_in_trouble_degrades_the_device_and_alerts_go_on(
    serve: Callable[[], Served], page: Page, periods: Periods, eventually: Eventually
) -> None:
    _camera, _outbox, listener, sample = serve()
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online")
    page.trouble = "locked"
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    sample()
    eventually(lambda: alerts(listener), "the alert")
    state = json.loads(listener.payloads("box/state")[-1])
    assert state["errors"] == {"feedback.db": "feedback.db: locked"}
    page.trouble = None
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online again")


def test_a_failed_sample_is_dropped_and_the_next_one_counts(
    serve: Callable[[], Served], eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    _camera, _outbox, listener, sample = serve()
    sample(mark=-1)
    eventually(lambda: "sample 1 dropped: told to fail" in caplog.text, "the failure")
    sample()
    eventually(lambda: len(alerts(listener)) == 1, "the alert after it")


@pytest.mark.parametrize("periods", [Periods(tick_s=0.1)])
def test_a_defect_that_one_camera_meets_costs_its_samples_and_is_reported(
    serve: Callable[[], Served],
    periods: Periods,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera, _outbox, listener, sample = serve()

    def errors() -> object:
        states = listener.payloads("box/state")
        return json.loads(states[-1])["errors"] if states else None

    for _ in range(2):
        sample(mark=-2)
        eventually(lambda: not camera.samples, "the sample is taken")
    expected = {"camera[yard]": "ZeroDivisionError: a defect"}
    eventually(lambda: errors() == expected, "the report")
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    assert caplog.text.count("Traceback") == 1
    sample()
    eventually(lambda: len(alerts(listener)) == 1, "the alert after it")
    eventually(lambda: errors() == {}, "the end of the report")


def test_a_file_that_has_ended_is_no_trouble_but_a_refused_camera_is(
    serve: Callable[[], Served], eventually: Eventually
) -> None:
    camera, _outbox, listener, _sample = serve()
    camera.now = replace(STREAMING, state="ended")
    states = len(listener.payloads("/state"))
    eventually(lambda: len(listener.payloads("/state")) > states + 1, "two more states")
    assert b"degraded" not in listener.payloads("/status")
    camera.now = replace(STREAMING, state="refused", error="401")
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")


@pytest.mark.parametrize("periods", [Periods(proof_s=0.05)])
def test_a_model_that_no_longer_answers_right_degrades_the_device(
    serve: Callable[[], Served],
    models: Proof,
    periods: Periods,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _camera, _outbox, listener, _sample = serve()
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online")
    models.failure = "cosine 0.3"
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    assert "the model no longer answers right: cosine 0.3" in caplog.text
    models.failure = None
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online again")


@pytest.mark.parametrize("periods", [Periods(tick_s=0.05, proof_s=0.05)])
def test_a_daemon_is_healthy_while_its_golden_frames_come_out_right(
    serve: Callable[[], Served],
    models: Proof,
    periods: Periods,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    camera, *_ = serve()
    camera.now = replace(STREAMING, state="refused", error="401")  # no fault of the box
    eventually(lambda: ask(tmp_path / SOCKET).healthy, "health")
    eventually(lambda: ask(tmp_path / SOCKET).cameras == {"yard": "refused"}, "the camera")
    models.failure = "cosine 0.3"
    eventually(lambda: not ask(tmp_path / SOCKET).healthy, "the failure")
    answer = ask(tmp_path / SOCKET)
    assert (answer.problem, answer.proven_s) == ("the model is not proven: cosine 0.3", None)
    models.failure = None
    eventually(lambda: ask(tmp_path / SOCKET).healthy, "health again")


@pytest.mark.parametrize("periods", [Periods(tick_s=0.05)])
def test_a_loop_that_is_stuck_in_a_sample_is_not_healthy(
    serve: Callable[[], Served],
    periods: Periods,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    camera, _outbox, _listener, sample = serve()
    eventually(lambda: ask(tmp_path / SOCKET).healthy, "health")
    free = threading.Event()
    monkeypatch.setattr(Line, "process", lambda *_: free.wait(30) and [])
    try:
        sample()
        eventually(lambda: not camera.samples, "the sample is taken")
        stuck = ask(tmp_path / SOCKET, patience_s=0.2)
        assert not stuck.healthy
        assert "stuck" in str(stuck.problem)
    finally:
        free.set()
    eventually(lambda: ask(tmp_path / SOCKET).healthy, "health again")


@pytest.mark.parametrize("periods", [Periods(tick_s=0.05)])
def test_a_daemon_without_its_publisher_is_not_healthy(
    serve: Callable[[], Served],
    periods: Periods,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    serve()
    eventually(lambda: ask(tmp_path / SOCKET).healthy, "health")
    monkeypatch.setattr(WorkerGroup, "tend", lambda _: None)  # nobody starts it again
    monkeypatch.setattr(Publisher, "failed", property(lambda _: True))
    problem = "an error has ended publisher"
    eventually(lambda: ask(tmp_path / SOCKET).problem == problem, "the failure")


@pytest.mark.parametrize("models", ["openvino int8 fails now"], indirect=True)
def test_a_choice_that_failed_at_the_start_degrades_the_device(
    serve: Callable[[], Served], eventually: Eventually
) -> None:
    _camera, _outbox, listener, _sample = serve()
    eventually(lambda: b"degraded" in listener.payloads("/status"), "degraded")


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the pings of the watchdog; stands before ``serve``, which makes the daemon."""
    sent: list[str] = []
    monkeypatch.setattr(systemd, "notify", sent.append)
    monkeypatch.setattr(systemd, "watchdog_interval", lambda: 0.05)
    return lambda: sent.count("WATCHDOG=1")


def test_a_camera_that_is_dead_withholds_the_watchdog_of_nobody_a_dead_publisher_does(
    pings: Callable[[], int],
    serve: Callable[[], Served],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    camera, _outbox, listener, sample = serve()
    camera.now = replace(STREAMING, state="failed", error="a defect")
    camera.failed = True
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    before = pings()
    eventually(lambda: pings() > before + 1, "the watchdog goes on")
    sample()
    eventually(lambda: alerts(listener), "the alert")
    monkeypatch.setattr(WorkerGroup, "tend", lambda _: None)  # nobody starts it again
    monkeypatch.setattr(Publisher, "failed", property(lambda _: True))
    states = len(listener.payloads("/state"))
    eventually(lambda: len(listener.payloads("/state")) > states + 2, "the loop turning")
    before = pings()
    eventually(lambda: len(listener.payloads("/state")) > states + 6, "the loop turning on")
    assert pings() == before


@pytest.mark.parametrize("periods", [Periods(tick_s=0.1)])
def test_a_publisher_that_a_defect_has_ended_begins_again_and_sends_what_waits(
    serve: Callable[[], Served],
    periods: Periods,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _camera, outbox, listener, sample = serve()

    def defect(*_: object, **__: object) -> None:
        raise KeyError("nobody expected this")

    monkeypatch.setattr(outbox, "pending", defect)
    sample()
    eventually(lambda: "worker publisher has failed" in caplog.text, "its death to be seen")
    assert not alerts(listener)
    monkeypatch.undo()
    eventually(lambda: alerts(listener), "the alert")
    assert "KeyError: 'nobody expected this'" in caplog.text
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online again")


def test_rules_that_bring_out_a_defect_of_the_loop_are_not_adopted_by_half(
    serve: Callable[[], Served],
    orders: Orders,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    good, bad = no_rules(), no_rules()
    adopted: list[object] = []

    def adopt(_line: Line, rules: object, _cameras: object) -> list[Message]:
        adopted.append(rules)
        if rules is bad:
            raise KeyError("a defect")
        return []

    monkeypatch.setattr(Line, "rules", property(lambda _line: good), raising=False)
    monkeypatch.setattr(Line, "adopt", adopt)
    _camera, _outbox, listener, sample = serve()
    done = orders.give(Adopt(bad))
    eventually(done.done, "the order")
    assert isinstance(done.exception(), KeyError)
    assert adopted == [bad, good]
    sample()
    eventually(lambda: alerts(listener), "the alert")


def test_alerts_that_an_adoption_ends_end_although_it_fails_at_its_cameras(
    serve: Callable[[], Served],
    orders: Orders,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    wanted = no_rules()
    ended = alert_message(TOPICS, AlertPayload.model_validate(ALERT | {"type": "end"}))

    def no_camera(*_: object) -> list[str]:
        raise KeyError("a defect")

    monkeypatch.setattr(Line, "adopt", lambda _line, rules, _cameras: [ended] * (rules is wanted))
    monkeypatch.setattr(Crew, "exchange", no_camera)
    _camera, _outbox, listener, _sample = serve()
    done = orders.give(Adopt(wanted, {}))
    eventually(done.done, "the order")
    assert isinstance(done.exception(), KeyError)
    eventually(lambda: alerts(listener), "the end of the alert")
    assert [json.loads(payload)["type"] for payload in alerts(listener)] == ["end"]


def test_a_rule_that_is_set_aside_degrades_the_device_with_the_reason(
    serve: Callable[[], Served], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    left = no_rules(fence="the sentence 'a fence' is set aside")
    monkeypatch.setattr(Line, "rules", property(lambda _line: left), raising=False)
    _camera, _outbox, listener, sample = serve()
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    eventually(lambda: listener.payloads("box/state"), "the state, which is sent after the status")
    state = json.loads(listener.payloads("box/state")[-1])
    assert state["errors"] == {"prompt fence": "the sentence 'a fence' is set aside"}
    sample()
    eventually(lambda: alerts(listener), "the alert")


def test_a_rollout_that_died_degrades_the_device_and_alerts_go_on(
    serve: Callable[[], Served], rollout: Quiet, eventually: Eventually
) -> None:
    _camera, _outbox, listener, sample = serve()
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online")
    rollout.failed = True
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    sample()
    eventually(lambda: alerts(listener), "the alert")


def test_an_error_in_the_loop_ends_everything_in_order(
    tmp_path: Path, broker: Broker, listen: Listen, models: Proof
) -> None:
    ended: list[str] = []

    class Noting(Camera):
        def stop(self, timeout_s: float) -> bool:
            ended.append("camera")
            return True

    class Broken(Line):
        def catch_up(self) -> None:
            raise RuntimeError("a bug")

        def finish(self, now: Arrival) -> list[Message]:
            ended.append("finish")
            return []

        def save(self) -> None:
            ended.append("save")

    class Rolling(Quiet):
        def stop(self, timeout_s: float) -> bool:
            ended.append("rollout")
            return True

    config = Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": "unused",
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "prompts": {"cat": {"text": "a cat"}},
            "cameras": {"yard": {"url": "file:unused.mp4"}},
        }
    )
    camera = Noting("yard")
    at = Arrival(wall=1_750_000_000.0, monotonic=0.0, pts_s=None)
    camera.samples.append(Sample("yard", 0, at, np.zeros((3, 2, 2), np.int8)))
    wake = threading.Event()
    wake.set()
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 1 << 20)) as outbox:
        publisher = Publisher(config.mqtt, "box", outbox)
        daemon = Daemon(
            config,
            Resources(
                TOPICS,
                {"yard": camera},
                models,
                Broken(),
                outbox,
                publisher,
                Rolling(),
                Orders(wake.set),
                lambda *_: camera,
            ),
        )
        with pytest.raises(RuntimeError, match="a bug"):
            daemon.serve(Stop(), wake)
        # The rollout is asked first and awaited last.
        assert ended == ["rollout", "camera", "finish", "save", "rollout"]
        assert not publisher.health().running


@pytest.fixture
def crashed(tmp_path: Path) -> None:
    """An outbox in which an alert has begun and not ended."""
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 1 << 20)) as outbox:
        outbox.put([alert_message(TOPICS, AlertPayload.model_validate(ALERT))])


@pytest.mark.usefixtures("crashed")
def test_an_alert_that_a_crash_interrupted_ends_before_new_ones_begin(
    serve: Callable[[], Served], eventually: Eventually
) -> None:
    _camera, outbox, listener, _sample = serve()
    eventually(lambda: len(alerts(listener)) == 2, "its start and its end")
    start, end = (AlertPayload.model_validate_json(payload) for payload in alerts(listener))
    assert (start.type, start.interrupted) == ("start", False)
    assert (end.type, end.interrupted, end.id) == ("end", True, start.id)
    assert outbox.interrupted() == [], "once"
