"""Reads H.265's sets of reference pictures and tables of weights (ITU-T H.265, 7.3.6 and 7.3.7)."""

from collections.abc import Sequence

from edge.video.bitstream.bits import Bits

# Distance to each picture in output order, and whether the current picture uses it.
ReferenceSet = tuple[tuple[int, bool], ...]

_PICTURES = 16


def reference_set(bits: Bits, earlier: Sequence[ReferenceSet], *, in_slice: bool) -> ReferenceSet:
    """Read a set of references.

    Args:
        bits: At the beginning of the set.
        earlier: The sets of the sequence before it.
        in_slice: Whether it stands in a slice header.

    Raises:
        ValueError: It is damaged.
    """
    if not (earlier and bits.flag()):
        return _explicit(bits)
    back = bits.count(len(earlier) - 1) + 1 if in_slice else 1
    base = earlier[-back]
    negative, distance = bits.flag(), bits.ue() + 1
    step = -distance if negative else distance
    flags: list[tuple[bool, bool]] = []
    for _ in range(len(base) + 1):
        used = bits.flag()
        flags.append((used, used or bits.flag()))
    moved = [
        (delta + step, used)
        for (delta, _), (used, kept) in zip((*base, (0, False)), flags, strict=True)
        if kept and delta + step
    ]
    before = sorted((one for one in moved if one[0] < 0), reverse=True)
    return (*before, *sorted(one for one in moved if one[0] > 0))


def weight_table(bits: Bits, counts: list[int], *, chroma: bool) -> None:
    """Skip a table of weights.

    Raises:
        ValueError: It is damaged.
    """
    bits.ue()
    if chroma:
        bits.se()
    for count in counts:
        luma = [bits.flag() for _ in range(count)]
        coloured = [chroma and bits.flag() for _ in range(count)]
        for has_luma, has_chroma in zip(luma, coloured, strict=True):
            bits.ues(2 * has_luma + 4 * has_chroma)


def _explicit(bits: Bits) -> ReferenceSet:
    before, after = bits.count(_PICTURES), bits.count(_PICTURES)
    found: list[tuple[int, bool]] = []
    for count, sign in ((before, -1), (after, 1)):
        distance = 0
        for _ in range(count):
            distance += bits.ue() + 1
            found.append((sign * distance, bits.flag()))
    return tuple(found)
