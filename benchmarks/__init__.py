"""Measures what a box costs per frame, and how good its decisions are.

``cli`` is the command ``edge-bench``: ``model`` times the engine alone, ``pipeline`` times the
whole way of a frame, ``report`` writes the results, and ``measuring`` has the tools of both.
``studies`` has the measurements that the documents quote, each with a command of its own.
"""
