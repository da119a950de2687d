"""``edge check``: what it finds, in words and as an exit code."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from command import Outcome, Run
from live_broker import Broker

from benchmarks.measuring.broker import free_port
from edge.cli.checks.cameras import check_cameras
from edge.cli.checks.disk import check_disk
from edge.config.models import CameraConfig
from edge.errors import SourceError
from edge.testing.camera import TestCamera
from edge.testing.faults import Clock
from edge.testing.synthetic import write_clip
from edge.video.probe import VideoProperties, advice, look_at

PROMPTS = "prompts: {red: {text: red}}"


@pytest.fixture
def config(tmp_path: Path, bundle: Path) -> Callable[..., Path]:
    """Writes a configuration; keywords replace lines of it."""

    def write(cameras: str, port: int = 1, prompts: str = PROMPTS, **lines: str) -> Path:
        parts = {
            "device": "{id: box}",
            "bundle": str(bundle),
            "state_dir": str(tmp_path / "state"),
            "mqtt": f"{{host: 127.0.0.1, port: {port}}}",
            "cameras": cameras,
        }
        text = "\n".join(f"{key}: {value}" for key, value in (parts | lines).items())
        path = tmp_path / "edge.yaml"
        path.write_text(f"{text}\n{prompts}\n")
        return path

    return write


def verdicts(outcome: Outcome) -> dict[str, str]:
    document = json.loads(outcome.out)
    assert document["exit_code"] == outcome.code
    return {finding["check"]: finding["verdict"] for finding in document["checks"]}


def found(outcome: Outcome, check: str) -> dict[str, Any]:
    [finding] = [f for f in json.loads(outcome.out)["checks"] if f["check"] == check]
    return finding


@pytest.mark.broker
def test_a_sound_set_up_is_ok_throughout(
    edge: Run,
    config: Callable[..., Path],
    camera: TestCamera,
    broker: Broker,
    tmp_path: Path,
) -> None:
    cameras = f'{{yard: {{url: "{camera.url("yard")}"}}}}'
    outcome = edge("check", config(cameras, broker.port), "--json")
    assert outcome.code == 0
    assert verdicts(outcome) == dict.fromkeys(
        [
            "configuration",
            "bundle",
            "engine",
            "text model",
            "prompt red",
            "sandbox",
            "camera yard",
            "broker",
            "topics",
            "disk",
            "outbox",
        ],
        "ok",
    )
    assert "measured now: " in found(outcome, "engine")["found"]
    assert "onnxruntime int8" in found(outcome, "engine")["found"]
    assert "cosine to the float original mean 1.0000" in found(outcome, "engine")["found"]
    assert found(outcome, "prompt red")["found"].startswith("'red'; red 0.")
    assert "h264, 64x48, 10 fps, a keyframe every 1.0 s" in found(outcome, "camera yard")["found"]
    assert "MQTT 5, not encrypted" in found(outcome, "broker")["found"]
    assert not (tmp_path / "state").exists()  # a check changes nothing


def test_tuning_is_kept_for_the_daemon_and_shown_by_the_next_check(
    edge: Run, config: Callable[..., Path], clip: Path, tmp_path: Path
) -> None:
    path = config(f"{{yard: {{url: {clip}}}}}", free_port())
    asked = ("check", path, "--no-broker", "--no-cameras", "--json")
    tuned = found(edge(*asked, "--tune"), "engine")["found"]
    assert "measured now: " in tuned
    assert len(list((tmp_path / "state" / "choices").iterdir())) == 1
    later = found(edge(*asked), "engine")["found"]
    assert "measured earlier: " in later
    assert later.partition("measured earlier: ")[2] == tuned.partition("measured now: ")[2]


@pytest.mark.broker
def test_the_daemons_session_is_left_alone(
    edge: Run, config: Callable[..., Path], broker: Broker, clip: Path
) -> None:
    edge("check", config(f"{{yard: {{url: {clip}}}}}", broker.port))
    assert "as edge-check-" in broker.log()
    assert "as edge-box" not in broker.log()


def test_every_failure_is_shown_and_the_first_kind_is_the_exit_code(
    edge: Run, config: Callable[..., Path], clip: Path, tmp_path: Path
) -> None:
    cameras = f"{{gone: {{url: {tmp_path}/gone.mp4}}, yard: {{url: {clip}}}}}"
    state_dir = f"{clip}/state"  # below a file
    path = config(cameras, free_port(), state_dir=state_dir)
    outcome = edge("check", path, "--json")
    failed = [check for check, verdict in verdicts(outcome).items() if verdict == "FAIL"]
    assert failed == ["camera gone", "broker", "disk"]
    assert outcome.code == 4
    assert edge("check", path, "--no-cameras").code == 5
    assert edge("check", path, "--no-cameras", "--no-broker").code == 6


def test_every_bad_prompt_is_shown(edge: Run, config: Callable[..., Path], clip: Path) -> None:
    prompts = (
        "prompts: {a: {text: red red red red red red red}, b: {text: something}, c: {text: blue}}"
    )
    outcome = edge("check", config(f"{{yard: {{url: {clip}}}}}", prompts=prompts), "--json")
    assert outcome.code == 2
    of_prompts = {k: v for k, v in verdicts(outcome).items() if k.startswith("prompt")}
    assert of_prompts == {"prompt a": "FAIL", "prompt b": "FAIL", "prompt c": "ok"}


def test_what_watches_nothing_is_pointed_out(
    edge: Run, config: Callable[..., Path], clip: Path, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("unused: hushhush\n")
    secrets.chmod(0o644)
    secrets.parent.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o700)
    zones = "zones: {flat: [[0, 0], [0.5, 0.5], [1, 1]]}"
    cameras = (
        f"{{yard: {{url: {clip}, prompts: []}}, gate: {{url: {clip}, prompts: [off]}}, "
        f"pier: {{url: {clip}, {zones}}}}}"
    )
    prompts = "prompts: {red: {text: red, profiles: [away]}, off: {text: blue, enabled: false}}"
    path = config(cameras, prompts=prompts, profile="awya")
    outcome = edge("check", path, "--no-broker", "--json")
    assert outcome.code == 0
    assert outcome.err == ""  # no line of a log
    advice = found(outcome, "configuration")["advice"]
    assert [remark.partition(":")[0] for remark in advice] == [
        "camera yard has no prompt that is on",
        "camera gate has no prompt that is on",
        "cameras.pier.zones.flat has no area",
        "no prompt names the profile 'awya'; did you mean 'away'?",
    ]
    assert found(outcome, "secrets.yaml")["advice"] == [
        f"every user of this machine can read {secrets}: chmod 600 it"
    ]
    assert found(outcome, "privacy")["verdict"] == "ok"


def test_a_sentence_that_two_checks_meet_is_reported_once(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    prompts = "prompts: {a: {text: [red then blue, red]}, b: {text: red}}"
    outcome = edge("check", config(f"{{yard: {{url: {clip}}}}}", prompts=prompts), "--no-broker")
    assert outcome.code == 2
    lines = outcome.out.splitlines()
    failed = [line.split()[:3] for line in lines if line.startswith("FAIL")]
    assert failed == [["FAIL", "prompt", "a"]]


def test_warnings_say_what_to_do_and_do_not_fail(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    cameras = f"{{yard: {{url: {clip}, prompts: [red]}}}}"
    prompts = "prompts: {red: {text: red, negatives: [red]}, blue: {text: blue}}"
    outcome = edge("check", config(cameras, prompts=prompts), "--no-broker")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line[:20].split() for line in lines if line.startswith("warn")] == [
        ["warn", "configuration"],
        ["warn", "prompt", "red"],
    ]
    assert "→ no camera watches blue" in outcome.out
    assert "has no prompt that is on" not in outcome.out
    assert "→ the model hardly tells its negative 'red' from its text" in outcome.out


def test_a_profile_that_no_rule_names_is_a_warning(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    prompts = "prompts: {red: {text: red, profiles: [away]}}"
    path = config(f"{{yard: {{url: {clip}}}}}", prompts=prompts, profile="awy")
    outcome = edge("check", path, "--no-broker", "--no-cameras", "--json")
    advice = found(outcome, "configuration")["advice"]
    assert advice == ["no prompt names the profile 'awy'; did you mean 'away'?"]


def test_a_sentence_with_time_in_it_is_told_as_it_was_understood(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    cameras = f"{{yard: {{url: {clip}}}}}"
    prompts = "prompts: {order: {text: red then blue within 5 s}, none: {text: no red}}"
    outcome = edge("check", config(cameras, prompts=prompts), "--no-broker")
    assert "all: 'red', then within 5 s 'blue'" in outcome.out
    assert "all: 'red' not seen for 10 s" in outcome.out


def test_what_a_rule_needs_to_be_on_is_told(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    cameras = f"{{yard: {{url: {clip}}}}}"
    prompts = "prompts: {red: {text: red, when: night, schedule: sat-sun}, blue: {text: blue}}"
    outcome = edge("check", config(cameras, prompts=prompts), "--no-broker", "--json")
    assert found(outcome, "when red")["found"].startswith("by night, schedule: o")
    assert "when blue" not in verdicts(outcome)


def test_a_negation_that_cannot_be_absence_fails_with_advice(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    cameras = f"{{yard: {{url: {clip}}}}}"
    prompts = "prompts: {red: {text: a car without red}}"
    outcome = edge("check", config(cameras, prompts=prompts), "--no-broker")
    assert outcome.code == 2
    assert "'a car' with negatives: 'a car with red'" in outcome.out


def test_without_a_configuration_bundle_and_engine_are_checked(
    edge: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = edge("check", "--bundle", bundle, "--json")
    assert verdicts(outcome) == {"bundle": "ok", "engine": "ok", "text model": "ok"}
    monkeypatch.setenv("EDGE_BUNDLE", str(bundle))
    assert verdicts(edge("check", "--json")) == verdicts(outcome)


def test_an_option_replaces_the_configured_bundle(
    edge: Run, config: Callable[..., Path], clip: Path, bundle: Path
) -> None:
    path = config(f"{{yard: {{url: {clip}}}}}", bundle="absent")
    options = ("--no-cameras", "--no-broker")
    assert edge("check", path, *options).code == 3
    assert edge("check", path, "--bundle", bundle, *options).code == 0


def test_too_many_pictures_for_the_engine_are_a_warning(
    edge: Run, config: Callable[..., Path], clip: Path
) -> None:
    cameras = ", ".join(f"c{n}: {{url: {clip}, sample: {{fps: 60}}}}" for n in range(3000))
    outcome = edge("check", config(f"{{{cameras}}}"), "--no-cameras", "--no-broker")
    assert outcome.code == 0
    assert "→ lower sample.fps, or raise engine.threads: the cameras want 180000" in outcome.out


def camera_config(url: object = "rtsp://192.0.2.10/stream2", **settings: object) -> CameraConfig:
    return CameraConfig.model_validate({"url": str(url), **settings})


def test_cameras_are_looked_at_side_by_side() -> None:
    together = threading.Barrier(3)

    def look(_camera: CameraConfig) -> VideoProperties:
        together.wait(timeout=10)  # breaks, and fails the check, where they come one by one
        return GOOD

    findings = list(check_cameras({name: camera_config() for name in "abc"}, look))
    assert [(f.check, f.verdict) for f in findings] == [(f"camera {name}", "ok") for name in "abc"]


def test_a_camera_that_never_answers_is_given_up() -> None:
    release = threading.Event()

    def look(camera: CameraConfig) -> VideoProperties:
        if camera.timeout < 1:
            release.wait()
        return GOOD

    cameras = {"hangs": camera_config(timeout=0.5), "works": camera_config(timeout=5)}
    hangs, works = check_cameras(cameras, look, lambda camera: 2 * camera.timeout)
    release.set()
    assert (hangs.verdict, hangs.exit_code) == ("FAIL", 4)
    assert "no answer within 1 s" in hangs.found
    assert works.verdict == "ok"


def test_a_defect_that_one_camera_brings_out_costs_that_camera_alone() -> None:
    def look(camera: CameraConfig) -> VideoProperties:
        if camera.timeout < 1:
            raise ZeroDivisionError("rtsp://me:s3cr3t@192.0.2.10/ has no rate")
        return GOOD

    cameras = {"odd": camera_config(timeout=0.5), "works": camera_config(timeout=5)}
    odd, works = check_cameras(cameras, look)
    assert (odd.verdict, odd.exit_code, works.verdict) == ("FAIL", 4, "ok")
    assert "ZeroDivisionError: rtsp://me:***@192.0.2.10/ has no rate" in odd.found


GOOD = VideoProperties("h264", 640, 360, (640, 360), 15.0, 2.0, looked_s=2.1, first_frame_s=0.1)


@pytest.mark.parametrize(
    ("seen", "settings", "words"),
    [
        ({"width": 1920, "height": 1080}, {}, "give its substream: 1920x1080"),
        ({"keyframe_s": 10.0}, {}, "set its I-frame interval to 2 s"),
        ({"keyframe_s": None, "looked_s": 10.0}, {}, "set its I-frame interval to 2 s"),
        ({"fps": 1.0}, {"sample": {"fps": 2}}, "fewer frames than sample.fps 2"),
        ({"codec": "hevc"}, {"transport": "udp"}, "damage that UDP leaves in H.265"),
    ],
)
def test_advice_about_a_camera(seen: dict[str, Any], settings: dict[str, Any], words: str) -> None:
    [remark] = advice(replace(GOOD, **seen), camera_config(**settings))
    assert words in remark
    assert advice(replace(GOOD, **seen), camera_config("recording.mp4", **settings)) == ()


@pytest.mark.parametrize("url", ["rtsp://192.0.2.1/live", "recording.mp4"])
@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"shown": (960, 1080)}, "960x1080 is the shape of half a picture of 16:9"),
        ({"shown": (352, 576)}, 'if things look squeezed, set aspect: "4:3"'),
        (
            {"implausible": Fraction(40)},
            "its pixels are 40 times as wide as high, which is ignored",
        ),
    ],
)
def test_a_shape_is_advised_where_things_may_look_squeezed(
    url: str, seen: dict[str, Any], words: str
) -> None:
    [remark] = advice(replace(GOOD, **seen), camera_config(url))
    assert words in remark
    assert advice(replace(GOOD, **seen), camera_config(url, aspect="16:9")) == ()
    shown_whole = replace(GOOD, width=960, height=1080, shown=(1920, 1080))
    assert advice(shown_whole, camera_config(url)) == ()


def test_the_shape_that_is_shown_and_the_stream_that_was_chosen_are_reported(
    tmp_path: Path,
) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", width=64, height=48, pixel_aspect=Fraction(2), turn=90, fps=10
    )
    text = str(look_at(camera_config(path)))
    assert text.startswith("h264, 64x48 shown as 48x128, 10 fps")
    chosen = replace(GOOD, choice="video stream #1 (h264 640x360), not #0 (png 64x48)")
    assert str(chosen).endswith("; video stream #1 (h264 640x360), not #0 (png 64x48)")


@pytest.mark.parametrize("seen", [{}, {"codec": "hevc"}, {"width": 1280}, {"fps": 1.99}])
def test_no_advice_where_all_is_well(seen: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **seen), camera_config()) == ()


@pytest.mark.parametrize("bframes", [0, 2])
def test_rate_and_keyframes_are_measured(tmp_path: Path, bframes: int) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", width=64, height=48, fps=20, seconds=4, gop=30, bframes=bframes
    )
    look = look_at(camera_config(path))
    assert (look.codec, look.width, look.height) == ("h264", 64, 48)
    assert look.fps == pytest.approx(20, rel=0.01)
    assert look.keyframe_s == pytest.approx(1.5, rel=0.01)
    assert look.looked_s == pytest.approx(2, abs=0.1)  # enough for the second keyframe


@pytest.mark.parametrize("clock", ["zero", "random", "milliseconds", "backwards"])
def test_the_rate_is_that_of_arrival_where_the_cameras_clock_is_wrong(
    camera: TestCamera, clock: Clock
) -> None:
    camera.faults.clock = clock
    look = look_at(camera_config(camera.url("yard")))
    assert look.fps == pytest.approx(10, rel=0.25)
    assert look.keyframe_s == pytest.approx(1, rel=0.25)
    assert "one picture" not in str(look)


def test_a_keyframe_is_waited_for_as_long_as_by_the_daemon(camera: TestCamera) -> None:
    """A camera with a keyframe every few minutes, joined in between."""
    camera.faults.no_keyframe = True
    sent = threading.Timer(1.5, setattr, (camera.faults, "no_keyframe", False))
    sent.start()
    look = look_at(camera_config(camera.url("yard"), timeout=1.0))  # four timeouts are 4 s
    sent.join()
    assert look.first_frame_s > 1.4
    camera.faults.no_keyframe = True
    with pytest.raises(SourceError, match=r"sent packets for 2 s but no decodable frame"):
        look_at(camera_config(camera.url("yard"), timeout=0.5))


def test_a_single_picture_can_be_a_camera(red_picture: Path) -> None:
    assert str(look_at(camera_config(red_picture))) == "png, 64x48, one picture"


def test_a_disk_with_less_room_than_the_outbox_may_take_is_a_warning(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "not" / "yet", 1).verdict == "ok"
    full = check_disk(tmp_path, 10**18)
    assert full.verdict == "warn"
    assert "lower outbox.max_bytes: it may grow to 1,000,000,000,000 MB" in full.advice[0]
