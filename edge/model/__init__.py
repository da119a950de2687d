"""Models on this device: a bundle's files go in, engines that answer right come out.

``bundle`` reads and verifies the files and says what each graph takes and gives, ``engines`` run
graphs, ``variants`` and ``selftest`` open and prove one graph, ``choice`` measures which variant is
fastest.
"""
