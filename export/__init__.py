"""Workstation side: build, quantize, verify and pack model bundles for the device."""
