"""Where video is decoded. No device is at hand: a double stands for one, and is named so."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from edge.config.models import CameraConfig
from edge.errors import SourceError
from edge.video.decode import Decoder, kept_frames
from edge.video.hardware import (
    Decode,
    Device,
    FFmpegHardware,
    PictureDecoder,
    chosen_decoding,
    software,
    timed,
)
from edge.video.packet import Packet
from edge.video.probe import look_at
from edge.video.sampler import Sampler
from edge.video.sources import open_source


class DoubleOfADecoder:
    """Stands for a decoder on a device, of a speed that is given."""

    def __init__(self, ms: float | str) -> None:
        self.ms = ms
        self.flushed = 0

    def decode(self, packet: object) -> list[av.VideoFrame]:
        raise AssertionError("nobody has such a device here")

    def flush_buffers(self) -> None:
        self.flushed += 1


CPU_MS = 2.0


def stated(decoder: PictureDecoder, packets: Sequence[Packet]) -> float | str:
    """Stands for the clock: the speed that a double states, and that of a CPU."""
    assert packets[0].is_keyframe
    return decoder.ms if isinstance(decoder, DoubleOfADecoder) else CPU_MS


class DoubleOfHardware:
    """Stands for a box with devices."""

    def __init__(self, **devices: float | str) -> None:
        self._devices = devices
        self.opened: list[Device] = []

    def obstacle(self, device: Device, codec: str) -> str | None:
        del codec
        return None if device in self._devices else f"there is no {device}"

    def open(self, device: Device, stream: av.VideoStream) -> VideoCodecContext:
        self.opened.append(device)
        del stream
        speed = self._devices[device]
        if speed == "its driver says no":
            raise SourceError(speed)
        return cast("VideoCodecContext", DoubleOfADecoder(speed))


def chosen(
    clip: Path, decode: Decode, hardware: DoubleOfHardware
) -> tuple[str, str | None, int, object]:
    """The device, why, the number of packets that are left, and the decoder."""
    with open_source(str(clip)) as source:
        decoding, packets = chosen_decoding(
            decode, source.stream, source.packets(), hardware, stated
        )
        return decoding.device, decoding.why, sum(1 for _ in packets), decoding.context


PACKETS = 40  # of the clip


def test_the_cpu_is_taken_as_set_and_nothing_is_asked(clip: Path) -> None:
    hardware = DoubleOfHardware(nvdec=0.1)
    assert chosen(clip, "cpu", hardware) == ("cpu", None, PACKETS, None)
    assert not hardware.opened


def test_a_device_that_is_clearly_faster_is_taken_and_begins_anew(clip: Path) -> None:
    device, why, packets, context = chosen(clip, "auto", DoubleOfHardware(vaapi=1.2, nvdec=1.1))
    assert (device, packets) == ("nvdec", PACKETS)
    assert why == "cpu 2.00 ms a picture, vaapi 1.20 ms, nvdec 1.10 ms"
    assert cast("DoubleOfADecoder", context).flushed == 1


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"vaapi": 2.5}, "cpu 2.00 ms a picture, vaapi 2.50 ms"),
        ({"nvdec": 1.9}, "nvdec 1.90 ms"),  # as good as a tie
        ({"nvdec": "gives no picture"}, "nvdec gives no picture"),
        ({"nvdec": "its driver says no"}, "its driver says no"),
        ({}, "vaapi: there is no vaapi; nvdec: there is no nvdec"),
    ],
)
def test_auto_stays_on_the_cpu_and_says_why(
    clip: Path, devices: dict[str, float | str], words: str
) -> None:
    device, why, packets, context = chosen(clip, "auto", DoubleOfHardware(**devices))
    assert (device, packets, context) == ("cpu", PACKETS, None)
    assert words in (why or ""), why


@pytest.mark.parametrize("device", ["vaapi", "nvdec"])
def test_a_device_that_is_asked_for_by_name_and_is_not_there_is_an_error(
    clip: Path, device: Device
) -> None:
    with pytest.raises(SourceError, match=rf"decode: {device} is not possible.*there is no"):
        chosen(clip, device, DoubleOfHardware())


def test_a_device_that_is_asked_for_is_taken_however_slow(clip: Path) -> None:
    hardware = DoubleOfHardware(vaapi=9.0)
    assert chosen(clip, "vaapi", hardware)[:3] == ("vaapi", "as set", PACKETS)
    assert hardware.opened == ["vaapi"]


def test_what_a_chosen_decoder_gives_are_the_pictures_of_the_cpu(bframes_clip: Path) -> None:
    def pictures(decode: Decode) -> list[tuple[float, bytes]]:
        with open_source(str(bframes_clip)) as source:
            decoding, packets = chosen_decoding(
                decode, source.stream, source.packets(), _SecondDecoder()
            )
            decoder = Decoder(source.stream, context=decoding.context)
            frames = kept_frames(packets, decoder, Sampler(60.0))
            return [
                (round(frame.arrival.pts_s or 0.0, 3), frame.picture.to_ndarray().tobytes())
                for frame in frames
            ]

    assert len(pictures("cpu")) > 10
    assert pictures("nvdec") == pictures("cpu")


class _SecondDecoder:
    """Stands for a device that decodes as the CPU does: it is FFmpeg's own decoder."""

    def obstacle(self, device: Device, codec: str) -> None:
        del device, codec

    def open(self, device: Device, stream: av.VideoStream) -> VideoCodecContext:
        del device
        return software(stream)


def test_a_decoder_is_timed_by_its_pictures(clip: Path) -> None:
    with open_source(str(clip)) as source:
        packets = list(source.packets())
        took_ms = timed(software(source.stream), packets)
        assert isinstance(took_ms, float)
        assert 0 < took_ms < 1000
        assert timed(software(source.stream), packets[1:3]) == "gives no picture"


def test_packets_before_the_first_keyframe_are_not_measured_and_not_lost(clip: Path) -> None:
    with open_source(str(clip)) as source:
        late: Iterator[Packet] = islice(source.packets(), 3, None)
        decoding, packets = chosen_decoding(
            "auto", source.stream, late, DoubleOfHardware(nvdec=0.1), stated
        )
        assert decoding.device == "nvdec", decoding.why
        assert sum(1 for _ in packets) == PACKETS - 3


@pytest.mark.parametrize(("step_s", "device", "taken"), [(0.04, "nvdec", 40), (0.5, "cpu", 11)])
def test_a_keyframe_is_not_waited_for_without_end(
    clip: Path, step_s: float, device: str, taken: int
) -> None:
    read = 0

    def late() -> Iterator[Packet]:
        nonlocal read
        for read, packet in enumerate(source.packets(), start=1):
            arrival = replace(packet.arrival, monotonic=100 + read * step_s)
            yield replace(packet, arrival=arrival, is_keyframe=read == 11 + 1)

    with open_source(str(clip)) as source:
        decoding, packets = chosen_decoding(
            "auto", source.stream, late(), DoubleOfHardware(nvdec=0.1), stated
        )
        assert (decoding.device, read) == (device, taken)
        assert device != "cpu" or decoding.why == "no keyframe among the first 11 packets"
        assert sum(1 for _ in packets) == PACKETS


def test_this_ffmpeg_knows_nvdec_and_says_that_it_lacks_va_api(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    hardware = FFmpegHardware(tmp_path)
    assert "built without vaapi" in (hardware.obstacle("vaapi", "h264") or "")
    assert "there is no /dev/nvidia" in (hardware.obstacle("nvdec", "h264") or "")
    assert "the package's service sees no device" in (hardware.obstacle("nvdec", "h264") or "")
    assert "libnvcuvid" in (hardware.obstacle("nvdec", "hevc") or "")
    assert "no rawvideo with cuda" in (hardware.obstacle("nvdec", "rawvideo") or "")
    (tmp_path / "dev" / "nvidia0").touch()
    assert hardware.obstacle("nvdec", "h264") is None


def test_a_device_file_without_a_driver_is_an_error_that_says_what_to_install(
    clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    hardware = FFmpegHardware(tmp_path)
    hardware.make_ready("auto")  # which only warns
    with (
        open_source(str(clip)) as source,
        pytest.raises(SourceError, match=r"its driver says .* install NVIDIA's driver"),
    ):
        chosen_decoding("nvdec", source.stream, source.packets(), hardware)


def test_edge_check_says_what_was_chosen_or_what_is_missing(clip: Path) -> None:
    auto = look_at(CameraConfig.model_validate({"url": str(clip), "decode": "auto"}))
    assert "; decoded by cpu (vaapi: the FFmpeg in PyAV was built without vaapi" in str(auto)
    with pytest.raises(SourceError, match="decode: vaapi is not possible here"):
        look_at(CameraConfig.model_validate({"url": str(clip), "decode": "vaapi"}))
    assert "decoded by" not in str(look_at(CameraConfig.model_validate({"url": str(clip)})))
