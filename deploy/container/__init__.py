"""Containers: the runtime without root, for x86 and for Jetson."""
