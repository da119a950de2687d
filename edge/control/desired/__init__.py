"""The desired state: commands go in, the rules that shall be in force come out, and are kept.

``state`` is pure, ``file`` keeps it on disk, ``restore`` makes the rules of the next start.
"""
