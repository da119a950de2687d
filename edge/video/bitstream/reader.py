"""Reads the header of each picture of a stream: its kind, its quantiser, and its bytes."""

import contextlib
from dataclasses import dataclass
from typing import Final

from edge.video.bitstream import h264, h265
from edge.video.bitstream.kinds import Kind
from edge.video.bitstream.units import length_bytes, parameter_sets, units

CODECS: Final = ("h264", "hevc")

# Bytes of a unit that hold everything up to the quantiser of a usual slice header.
_HEADER = 96
# Bytes of the largest parameter set that is read: those of encoders have up to some hundred. Units
# before the first picture of a packet.
_MOST_BYTES: Final = 4096
_MOST_UNITS: Final = 64
# Range of the quantiser: samples of more than 8 bits have negative ones.
_FINEST, _COARSEST = -48, 51
# A packet of a constant rate is filled up with units of ones, which end in this.
_FILLED = b"\xff\xff\x80"
_H264_FILLER, _H265_FILLER, _H265_VCL = 12, 38, 31
_H264_SLICES: Final = (1, 5)
_H264_SETS: Final = (7, 8)
_H265_SETS: Final = (33, 34)


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a packet says of its picture.

    Attributes:
        kind: Kind of the picture's first slice.
        quantiser: Its quantisation parameter, -48..51, 0..51 with 8 bits; larger is coarser.
        size: Bytes of the packet without filler.
    """

    kind: Kind
    quantiser: int
    size: int


class HeaderReader:
    """Reads the pictures of one stream.

    Args:
        codec: FFmpeg's name of the codec, one of ``CODECS``.
        extradata: What the container or the SDP says of it.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._hevc = codec == "hevc"
        self._length = length_bytes(codec, extradata)
        self._sets: dict[bytes, None] = {}
        self._avc: tuple[dict[int, h264.AvcSequence], dict[int, h264.AvcPictures]] = {}, {}
        self._hvc: tuple[dict[int, h265.HevcSequence], dict[int, h265.HevcPictures]] = {}, {}
        with contextlib.suppress(IndexError, ValueError):  # they come in the stream as well
            for unit in parameter_sets(codec, extradata):
                self._note(unit)

    def read(self, data: bytes) -> PictureHeader | None:
        """Read a packet; None where it holds no picture that can be read."""
        filled = data.endswith(_FILLED)
        header, filler = None, 0
        for number, unit in enumerate(units(data, self._length)):
            if header is None and number >= _MOST_UNITS:
                return None
            if len(unit) < 3:
                continue
            if header is None and self._is_slice(unit):
                header = self._header(unit[:_HEADER])
                if header is None:
                    return None
                if not filled:
                    break
            elif filled and self._type(unit) == (_H265_FILLER if self._hevc else _H264_FILLER):
                filler += len(unit)
            elif header is None:
                self._note(unit)
        if header is None:
            return None
        return PictureHeader(*header, len(data) - filler)

    def _type(self, unit: bytes) -> int:
        return unit[0] >> 1 & 63 if self._hevc else unit[0] & 31

    def _is_slice(self, unit: bytes) -> bool:
        if self._hevc:
            return self._type(unit) <= _H265_VCL
        return self._type(unit) in _H264_SLICES

    def _header(self, unit: bytes) -> tuple[Kind, int] | None:
        try:
            kind, quantiser = (
                h265.slice_header(unit, *self._hvc)
                if self._hevc
                else h264.slice_header(unit, *self._avc)
            )
        except (KeyError, ValueError, IndexError):
            return None
        return (kind, quantiser) if _FINEST <= quantiser <= _COARSEST else None

    def _note(self, unit: bytes) -> None:
        """Remember a parameter set, if it is one that has not come yet and no bomb."""
        kinds = _H265_SETS if self._hevc else _H264_SETS
        kind = self._type(unit)
        if kind not in kinds or len(unit) > _MOST_BYTES or unit in self._sets:
            return
        if len(self._sets) >= 64:
            self._sets.clear()
        self._sets[unit] = None
        with contextlib.suppress(ValueError):
            if self._hevc and kind == kinds[0]:
                number, sequence = h265.sequence(unit)
                self._hvc[0][number] = sequence
            elif self._hevc:
                number, picture = h265.pictures(unit)
                self._hvc[1][number] = picture
            elif kind == kinds[0]:
                number, avc_sequence = h264.sequence(unit)
                self._avc[0][number] = avc_sequence
            else:
                number, avc_picture = h264.pictures(unit)
                self._avc[1][number] = avc_picture
