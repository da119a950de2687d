"""Reads H.265's parameter sets and slice headers, up to the quantiser (ITU-T H.265, 7.3)."""

from dataclasses import dataclass
from typing import Final

from edge.video.bitstream.bits import Bits
from edge.video.bitstream.kinds import Kind
from edge.video.bitstream.references import ReferenceSet, reference_set, weight_table

_KINDS: Final[tuple[Kind, ...]] = ("B", "P", "I")
_FIRST_IRAP, _LAST_IRAP = 16, 23  # intra random access pictures
_IDR: Final = (19, 20)
_444 = 3
# Largest counts that the standard allows; a damaged unit claims any.
_SETS, _LONG, _REFERENCES = 64, 32, 16
# Largest numbers that it allows: of parameter sets, of what counts bits.
_SEQUENCE, _PICTURES, _BITS = 15, 63, 12


@dataclass(frozen=True, slots=True)
class HevcSequence:
    """Of a sequence parameter set, what a slice header needs."""

    planes: bool
    chroma: bool
    order_bits: int
    offset_filter: bool
    references: tuple[ReferenceSet, ...]
    long_term: int | None
    """Number of long-term references that it lists; None where none are used."""
    temporal: bool


@dataclass(frozen=True, slots=True)
class HevcPictures:
    """Of a picture parameter set, what a slice header needs."""

    sequence: int
    output_flag: bool
    extra_bits: int
    cabac_flag: bool
    references: tuple[int, int]
    quantiser: int
    weighted: tuple[bool, bool]
    lists_change: bool


def sequence(unit: bytes) -> tuple[int, HevcSequence]:
    """Read a sequence parameter set; return its number and what it says.

    Raises:
        ValueError: It is damaged.
    """
    bits = Bits(unit[2:])
    bits.u(4)
    layers = bits.u(3)
    bits.u(1)
    _skip_profile(bits, layers)
    number, chroma = bits.count(_SEQUENCE), bits.count(_444)
    planes = chroma == _444 and bits.flag()
    bits.ues(2)
    if bits.flag():
        bits.ues(4)
    bits.ues(2)
    order_bits = bits.count(_BITS) + 4
    for _ in range(layers + 1 if bits.flag() else 1):
        bits.ues(3)
    bits.ues(6)
    if bits.flag() and bits.flag():
        _skip_scaling(bits)
    bits.u(1)
    offset_filter = bits.flag()
    if bits.flag():
        bits.u(8)
        bits.ues(2)
        bits.u(1)
    references: list[ReferenceSet] = []
    for _ in range(bits.count(_SETS)):
        references.append(reference_set(bits, references, in_slice=False))
    long_term = None
    if bits.flag():
        long_term = bits.count(_LONG)
        bits.u(long_term * (order_bits + 1))
    temporal = bits.flag()
    return number, HevcSequence(
        planes,
        chroma != 0 and not planes,
        order_bits,
        offset_filter,
        tuple(references),
        long_term,
        temporal,
    )


def pictures(unit: bytes) -> tuple[int, HevcPictures]:
    """Read a picture parameter set; return its number and what it says.

    Raises:
        ValueError: It is damaged.
    """
    bits = Bits(unit[2:])
    number, of = bits.count(_PICTURES), bits.count(_SEQUENCE)
    bits.u(1)
    output_flag, extra_bits = bits.flag(), bits.u(3)
    bits.u(1)
    cabac_flag = bits.flag()
    references = bits.ue() + 1, bits.ue() + 1
    quantiser = 26 + bits.se()
    bits.u(2)
    if bits.flag():
        bits.ue()
    bits.ues(2)
    bits.u(1)
    weighted = bits.flag(), bits.flag()
    bits.u(1)
    tiles = bits.flag()
    bits.u(1)
    if tiles:
        columns, rows = bits.count(_SETS), bits.count(_SETS)
        if not bits.flag():
            bits.ues(columns + rows)
        bits.u(1)
    bits.u(1)
    if bits.flag():
        bits.u(1)
        if not bits.flag():
            bits.ues(2)
    if bits.flag():
        _skip_scaling(bits)
    lists_change = bits.flag()
    return number, HevcPictures(
        of, output_flag, extra_bits, cabac_flag, references, quantiser, weighted, lists_change
    )


def slice_header(
    unit: bytes, sequences: dict[int, HevcSequence], sets: dict[int, HevcPictures]
) -> tuple[Kind, int]:
    """Read the header of a picture's first slice; return the picture's kind and its quantiser.

    Raises:
        ValueError: It is damaged.
        KeyError: Its parameter sets have not come.
    """
    unit_type = unit[0] >> 1 & 63
    bits = Bits(unit[2:])
    bits.u(1)
    if _FIRST_IRAP <= unit_type <= _LAST_IRAP:
        bits.u(1)
    pps = sets[bits.ue()]
    sps = sequences[pps.sequence]
    bits.u(pps.extra_bits)
    kind = _KINDS[bits.count(len(_KINDS) - 1)]
    bits.u(pps.output_flag + 2 * sps.planes)
    used, temporal = 0, False
    if unit_type not in _IDR:
        bits.u(sps.order_bits)
        used = _skip_references(bits, sps)
        temporal = sps.temporal and bits.flag()
    if sps.offset_filter:
        bits.u(1 + sps.chroma)
    if kind != "I":
        _skip_prediction(bits, kind, sps, pps, used=used, temporal=temporal)
    return kind, pps.quantiser + bits.se()


def _skip_references(bits: Bits, sps: HevcSequence) -> int:
    """Skip which pictures a slice refers to; return how many it uses."""
    if not bits.flag():
        chosen = reference_set(bits, sps.references, in_slice=True)
    else:
        index = bits.u((len(sps.references) - 1).bit_length())
        chosen = sps.references[min(index, len(sps.references) - 1)]
    used = sum(is_used for _, is_used in chosen)
    if sps.long_term is None:
        return used
    listed = bits.count(_LONG) if sps.long_term else 0
    for index in range(listed + bits.count(_LONG)):
        if index < listed:
            bits.u((sps.long_term - 1).bit_length())
            used += 1  # the parameter set says whether; it is so wherever lists may change
        else:
            bits.u(sps.order_bits)
            used += bits.flag()
        if bits.flag():
            bits.ue()
    return used


def _skip_prediction(
    bits: Bits, kind: Kind, sps: HevcSequence, pps: HevcPictures, *, used: int, temporal: bool
) -> None:
    """Skip what only P and B slices have."""
    both = kind == "B"
    counts = list(pps.references[: 1 + both])
    if bits.flag():
        counts = [bits.count(_REFERENCES) + 1 for _ in counts]
    if pps.lists_change and used > 1:
        for count in counts:
            if bits.flag():
                bits.u(count * (used - 1).bit_length())
    bits.u(both + pps.cabac_flag)
    if temporal:
        first = not both or bits.flag()
        if counts[0 if first else 1] > 1:
            bits.ue()
    if pps.weighted[both]:
        weight_table(bits, counts, chroma=sps.chroma)
    bits.ue()


def _skip_profile(bits: Bits, layers: int) -> None:
    bits.u(96)
    flags = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for profile, level in flags:
        bits.u(88 * profile + 8 * level)


def _skip_scaling(bits: Bits) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.ue()
                continue
            if size > 1:
                bits.se()
            bits.ues(min(64, 1 << (4 + 2 * size)))
