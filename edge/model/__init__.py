"""Opens models: files of a bundle go in, engines that passed their self-test come out.

``bundle`` reads and verifies the files and defines the tensors of each graph, ``engines`` run
graphs, ``graphs`` opens a graph and ``selftest`` proves it. ``variants`` lists the ways to run a
bundle, and ``choice`` measures which of them is the fastest.
"""
