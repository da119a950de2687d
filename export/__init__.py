"""Workstation side: build, quantize, verify and pack model bundles for the device."""

from edge.model.engines.telemetry import forbid_telemetry

forbid_telemetry()
