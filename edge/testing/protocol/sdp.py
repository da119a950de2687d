"""Describes a clip in the Session Description Protocol (RFC 8866), the answer to DESCRIBE."""

from base64 import b64encode
from collections.abc import Sequence

from edge.testing.clip import Clip
from edge.testing.protocol.rtp import CLOCK_HZ, PAYLOAD_TYPE

CONTROL = "track1"
"""Last part of the URL that SETUP names."""
OTHER_CONTROL = "other"
"""The same for other media, with their number after it."""

_ENCODING = {"h264": "H264", "hevc": "H265"}


def describe(clip: Clip, host: str, title: bytes, other_media: Sequence[str] = ()) -> bytes:
    """Return the session description of ``clip`` served from ``host``.

    Args:
        clip: Clip that is served.
        host: Address of the server.
        title: Name of the session; it need not be text.
        other_media: Descriptions of other media, which come before the clip's.
    """
    others = [
        line
        for number, media in enumerate(other_media)
        for line in (*media.splitlines(), f"a=control:{OTHER_CONTROL}{number}")
    ]
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        f"s={title.decode('latin-1')}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        *others,
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} {_ENCODING[clip.codec]}/{CLOCK_HZ}",
        f"a=fmtp:{PAYLOAD_TYPE} {_format_parameters(clip)}",
        f"a=control:{CONTROL}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")  # which keeps each byte


def _format_parameters(clip: Clip) -> str:
    """Return the ``fmtp`` parameters (RFC 6184 section 8.1, RFC 7798 section 7.1)."""
    if clip.codec == "hevc":
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        return ";".join(
            f"{name}={_base64(sets)}" for name, sets in zip(names, clip.parameter_sets, strict=True)
        )
    sequence_sets, picture_sets = clip.parameter_sets
    profile = sequence_sets[0][1:4].hex().upper()
    return (
        f"packetization-mode=1;profile-level-id={profile};"
        f"sprop-parameter-sets={_base64(sequence_sets + picture_sets)}"
    )


def _base64(nals: tuple[bytes, ...]) -> str:
    return ",".join(b64encode(nal).decode() for nal in nals)
