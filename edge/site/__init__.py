"""The site file: what a box is to know of the place where it hangs.

``edge-config.yaml`` goes in, from the partition that an installer edits on any laptop; the files
that the box reads come out: ``edge.yaml`` with its certificates, network and time.
"""
