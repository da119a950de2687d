"""Reads H.264's parameter sets and slice headers, up to the quantiser (ITU-T H.264, 7.3)."""

from dataclasses import dataclass
from typing import Final

from edge.video.bitstream.bits import Bits
from edge.video.bitstream.kinds import Kind

# Profiles whose sequence parameter set says more of the samples.
_HIGH: Final = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_KINDS: Final[tuple[Kind, ...]] = ("P", "B", "I", "P", "I")
_IDR = 5
_444 = 3
# Largest counts that the standard allows; a damaged unit claims any.
_REFERENCES, _OPERATIONS, _CYCLE = 32, 70, 255
# Largest numbers that it allows: of parameter sets, of slice types, of what counts bits.
_SEQUENCE, _PICTURES, _TYPE, _BITS = 31, 255, 9, 12


@dataclass(frozen=True, slots=True)
class AvcSequence:
    """Of a sequence parameter set, what a slice header needs."""

    planes: bool
    chroma: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    order_always_zero: bool
    frames_only: bool


@dataclass(frozen=True, slots=True)
class AvcPictures:
    """Of a picture parameter set, what a slice header needs."""

    sequence: int
    cabac: bool
    order_present: bool
    references: tuple[int, int]
    weighted: bool
    weighted_both: int
    quantiser: int
    redundant: bool


def sequence(unit: bytes) -> tuple[int, AvcSequence]:
    """Read a sequence parameter set; return its number and what it says.

    Raises:
        ValueError: It is damaged.
    """
    bits = Bits(unit[1:])
    profile = bits.u(8)
    bits.u(16)
    number = bits.count(_SEQUENCE)
    chroma, planes = 1, False
    if profile in _HIGH:
        chroma = bits.count(_444)
        planes = chroma == _444 and bits.flag()
        bits.ues(2)
        bits.flag()
        if bits.flag():
            for size in [16] * 6 + [64] * (6 if chroma == _444 else 2):
                if bits.flag():
                    _skip_scaling(bits, size)
    frame_num_bits = bits.count(_BITS) + 4
    order_type, order_bits, always_zero = bits.ue(), 0, False
    if order_type == 0:
        order_bits = bits.count(_BITS) + 4
    elif order_type == 1:
        always_zero = bits.flag()
        bits.ues(2)
        bits.ues(bits.count(_CYCLE))
    bits.ue()
    bits.flag()
    bits.ues(2)
    frames_only = bits.flag()
    return number, AvcSequence(
        planes,
        chroma != 0 and not planes,
        frame_num_bits,
        order_type,
        order_bits,
        always_zero,
        frames_only,
    )


def pictures(unit: bytes) -> tuple[int, AvcPictures]:
    """Read a picture parameter set; return its number and what it says.

    Raises:
        ValueError: It is damaged, or has slice groups, which no camera uses.
    """
    bits = Bits(unit[1:])
    number, of = bits.count(_PICTURES), bits.count(_SEQUENCE)
    cabac, order_present = bits.flag(), bits.flag()
    if bits.ue():
        raise ValueError("slice groups")
    references = bits.ue() + 1, bits.ue() + 1
    weighted, weighted_both = bits.flag(), bits.u(2)
    quantiser = 26 + bits.se()
    bits.ues(2)
    bits.u(2)
    redundant = bits.flag()
    return number, AvcPictures(
        of, cabac, order_present, references, weighted, weighted_both, quantiser, redundant
    )


def slice_header(
    unit: bytes, sequences: dict[int, AvcSequence], sets: dict[int, AvcPictures]
) -> tuple[Kind, int]:
    """Read a slice header; return the kind of its picture and its quantiser.

    Raises:
        ValueError: It is damaged.
        KeyError: Its parameter sets have not come.
    """
    idr, referenced = unit[0] & 31 == _IDR, unit[0] >> 5 & 3
    bits = Bits(unit[1:])
    bits.ue()
    kind = _KINDS[bits.count(_TYPE) % 5]
    pps = sets[bits.ue()]
    sps = sequences[pps.sequence]
    if sps.planes:
        bits.u(2)
    bits.u(sps.frame_num_bits)
    field = not sps.frames_only and bits.flag()
    if field:
        bits.flag()
    if idr:
        bits.ue()
    _skip_order(bits, sps, both=pps.order_present and not field)
    if pps.redundant:
        bits.ue()
    if kind != "I":
        _skip_prediction(bits, kind, sps, pps)
    if referenced:
        _skip_marking(bits, idr=idr)
    if pps.cabac and kind != "I":
        bits.ue()
    return kind, pps.quantiser + bits.se()


def _skip_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order(bits: Bits, sps: AvcSequence, *, both: bool) -> None:
    if sps.order_type == 0:
        bits.u(sps.order_bits)
        if both:
            bits.se()
    elif sps.order_type == 1 and not sps.order_always_zero:
        bits.ues(1 + both)


def _skip_prediction(bits: Bits, kind: Kind, sps: AvcSequence, pps: AvcPictures) -> None:
    """Skip what only P and B slices have."""
    both = kind == "B"
    bits.u(both)
    counts = list(pps.references[: 1 + both])
    if bits.flag():
        counts = [bits.count(_REFERENCES) + 1 for _ in counts]
    for _ in counts:
        if bits.flag():
            for _ in range(_OPERATIONS):
                if bits.ue() == 3:
                    break
                bits.ue()
    if pps.weighted_both == 1 if both else pps.weighted:
        _skip_weights(bits, counts, chroma=sps.chroma)


def _skip_weights(bits: Bits, counts: list[int], *, chroma: bool) -> None:
    bits.ues(1 + chroma)
    for count in counts:
        for _ in range(count):
            if bits.flag():
                bits.ues(2)
            if chroma and bits.flag():
                bits.ues(4)


def _skip_marking(bits: Bits, *, idr: bool) -> None:
    if idr:
        bits.u(2)
    elif bits.flag():
        for _ in range(_OPERATIONS):
            operation = bits.ue()
            if not operation:
                break
            bits.ues({3: 2, 5: 0}.get(operation, 1))
