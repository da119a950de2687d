"""Defines the configuration as records (``models``) and reads it from a file (``load``)."""
