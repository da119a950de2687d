"""Models on this device: a bundle's files go in, engines that passed their self-test come out.

``bundle`` reads and verifies the files and says what each graph takes and gives, ``engines`` run
graphs, ``graphs`` opens a graph and ``selftest`` proves it. ``variants`` lists the ways to run a
bundle, ``choice`` measures which one is the fastest.
"""
