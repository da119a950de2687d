"""Runs each camera in a process of its own, and reads what comes from it as an enemy's words.

``supervisor`` is the daemon's side. ``server`` makes the processes, and ``child`` is what runs in
one: ``edge.video.camera``, confined. ``records`` and ``memory`` are what both sides agree on.
"""
