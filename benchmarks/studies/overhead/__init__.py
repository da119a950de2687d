"""Measures what a sample costs the daemon beside engine and decode, against another version.

``__main__`` runs two versions in turns and compares them; ``daemon`` is one measured run.
"""
