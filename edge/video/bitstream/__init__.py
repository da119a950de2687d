"""Reads what a packet says of itself without decoding it: kind of picture, quantiser, filler.

In: packets of H.264 and H.265 with their parameter sets, as a source hands them out.
Out: ``Slice`` records (``edge.video.bitstream.reader``).
"""
