"""Describes a clip in the Session Description Protocol (RFC 8866), the answer to DESCRIBE."""

from base64 import b64encode
from collections.abc import Sequence

from edge.testing.clip import Clip
from edge.testing.habits import PLAIN, Habits
from edge.testing.protocol.rtp import CLOCK_HZ, PAYLOAD_TYPE

OTHER_CONTROL = "other"
"""Last part of the URL that SETUP names for other media, with their number after it."""

_ENCODING = {"h264": "H264", "hevc": "H265"}


def describe(
    clip: Clip,
    host: str,
    title: bytes,
    other_media: Sequence[str] = (),
    habits: Habits = PLAIN,
    base: str = "",
) -> bytes:
    """Return the session description of ``clip`` served from ``host``.

    Args:
        clip: Clip that is served.
        host: Address of the server.
        title: Name of the session; it need not be text.
        other_media: Descriptions of other media, which come before the clip's.
        habits: Habits of the camera.
        base: URL of the stream.
    """
    others, later = (
        [
            line
            for number, media in enumerate(described, start)
            for line in (*media.splitlines(), f"a=control:{OTHER_CONTROL}{number}")
        ]
        for described, start in ((other_media, 0), (habits.later_media, len(other_media)))
    )
    parameters = _format_parameters(clip, habits)
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        f"s={title.decode('latin-1')}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        *(["a=control:*"] if habits.session_control else []),
        *others,
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} {_ENCODING[clip.codec]}/{CLOCK_HZ}",
        *([f"a=fmtp:{PAYLOAD_TYPE} {parameters}"] if parameters else []),
        f"a=control:{habits.control.format(base=base)}",
        *later,
    ]
    return "".join(f"{line}{habits.line_end}" for line in lines).encode("latin-1")  # each byte


def _format_parameters(clip: Clip, habits: Habits) -> str:
    """Return the ``fmtp`` parameters (RFC 6184 section 8.1, RFC 7798 section 7.1)."""
    sets = [_told(each, habits) for each in clip.parameter_sets]
    if habits.parameter_sets == "no-pps":
        sets[-1] = ""
    if clip.codec == "hevc":
        if habits.parameter_sets == "not-told":
            return ""
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        return ";".join(f"{name}={each}" for name, each in zip(names, sets, strict=True))
    profile = clip.parameter_sets[0][0][1:4].hex().upper()
    mode = f"packetization-mode=1;profile-level-id={profile}"
    if habits.parameter_sets == "not-told":
        return mode
    told = "" if habits.parameter_sets == "empty" else ",".join(sets)
    return f"{mode};sprop-parameter-sets={told}"


def _told(sets: tuple[bytes, ...], habits: Habits) -> str:
    match habits.parameter_sets:
        case "empty":
            return ""
        case "broken":
            return "Z0IAHpWoKA9puAgI!!"
        case _:
            return _base64(sets)


def _base64(nals: tuple[bytes, ...]) -> str:
    return ",".join(b64encode(nal).decode() for nal in nals)
