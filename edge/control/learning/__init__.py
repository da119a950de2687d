"""Learns from feedback: what people say about alerts goes in, better settings come out.

``feedback`` keeps alerts and feedback on disk, ``teacher`` finds settings, ``learner`` puts them
into the desired state.
"""
