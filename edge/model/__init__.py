"""Models on this device: a bundle's files go in, engines that answer right come out.

``bundle`` reads and verifies the files, ``engines`` run graphs, ``contract`` names what a graph
takes and gives, ``variants`` and ``selftest`` open and prove one graph, ``choice`` measures which
one is fastest.
"""
