"""The workstation's side: checkpoints and pictures go in, model bundles for the device come out.

A build exports a model's graphs, quantizes them, verifies each against its float original and packs
those that pass.
"""

from edge.model.engines.telemetry import forbid_telemetry

forbid_telemetry()
